/* The path that the verifier is on, and what registers held along it: recorded on the host, on request. */
#include <stdlib.h>
#include <string.h>

#include "native_api.h"
#include "text.h"
#include "witness.h"

#define STATES_MAX 512u /* of the newest steps of a path */
#define STATE_SIZE 320u

struct positions {
    uint32_t *at;
    uint32_t count, capacity;
};

/* One a thread, as arenas are. */
static _Thread_local struct {
    bool on;
    bool full; /* memory ran out: nothing more is recorded */
    struct positions path; /* slots, first to last */
    struct positions forks; /* lengths of the path where a branch was saved */
    struct {
        uint32_t step; /* a path that was gone back from may have used the place for a later one */
        char text[STATE_SIZE];
    } states[STATES_MAX];
} seen;

static void append(struct positions *list, uint32_t value)
{
    if (list->count == list->capacity) {
        uint32_t capacity = list->capacity == 0 ? 1024 : 2 * list->capacity;
        uint32_t *grown = realloc(list->at, capacity * sizeof(*grown));

        if (grown == NULL) {
            seen.full = true;
            return;
        }
        list->at = grown;
        list->capacity = capacity;
    }
    list->at[list->count++] = value;
}

/* ---- states ------------------------------------------------------------------------------------------------------ */

static void add_offset(struct text *text, const struct reg *reg)
{
    if (reg->off != 0) {
        text_string(text, reg->off < 0 ? " - " : " + ");
        text_number(text, reg->off < 0 ? -(int64_t)reg->off : reg->off, 10);
    }
}

static void add_number(struct text *text, struct scalar scalar)
{
    if (scalar_is_const(scalar)) {
        text_signed(text, (int64_t)scalar.bits.value);
    } else if (scalar.umin == 0 && scalar.umax == UINT64_MAX) {
        text_string(text, scalar.smin == INT64_MIN && scalar.smax == INT64_MAX ? "any" : "");
        if (scalar.smin != INT64_MIN || scalar.smax != INT64_MAX) {
            text_signed(text, scalar.smin);
            text_string(text, " to ");
            text_signed(text, scalar.smax);
        }
    } else {
        text_number(text, scalar.umin, 10);
        text_string(text, " to ");
        text_number(text, scalar.umax, 10);
    }
}

static void add_register(struct text *text, const struct verifier *v, uint32_t number)
{
    const struct reg *reg = number == BPF_FP ? &v->fp : &v->frames[v->depth].regs[number];

    text_string(text, "r");
    text_number(text, number, 10);
    text_string(text, " is ");
    text_string(text, verifier_reg_words(reg));
    if (reg->type == REG_SCALAR) {
        text_string(text, ", ");
        add_number(text, reg->scalar);
        return;
    }
    if (reg->type == REG_NOT_INIT)
        return;
    add_offset(text, reg);
    if (!scalar_is_const(reg->scalar) || reg->scalar.bits.value != 0) {
        text_string(text, " + (");
        add_number(text, reg->scalar);
        text_string(text, ")");
    }
    if (reg->type == REG_PACKET || reg->type == REG_PACKET_META) {
        text_string(text, ", ");
        text_number(text, reg->range, 10);
        text_string(text, " bytes known to exist");
    }
    if (reg->type == REG_MAP || reg->type == REG_VALUE || reg->type == REG_VALUE_OR_NULL) {
        text_string(text, " of ");
        text_string(text, bpf_map_def_of(v->prog->maps[reg->index])->name);
    }
}

/* The registers that an instruction reads: bit n is rn. */
static uint32_t read_registers(const struct bpf_insn *insn)
{
    uint32_t dst = 1u << bpf_dst(insn), src = 1u << bpf_src(insn);

    switch (BPF_CLASS(insn->code)) {
    case BPF_LD: return 0;
    case BPF_LDX: return src;
    case BPF_ST: return dst;
    case BPF_STX: return dst | src;
    case BPF_ALU:
    case BPF_ALU64:
        if (BPF_OP(insn->code) == BPF_MOV)
            return BPF_SRC(insn->code) == BPF_X ? src : 0;
        return BPF_SRC(insn->code) == BPF_X && BPF_OP(insn->code) != BPF_END ? dst | src : dst;
    default:
        if (bpf_is_ja(insn))
            return 0;
        if (bpf_is_exit(insn))
            return 1u << BPF_R0;
        if (bpf_is_call(insn) || bpf_is_local_call(insn))
            return 0x3eu;
        return BPF_SRC(insn->code) == BPF_X ? dst | src : dst;
    }
}

static void describe(const struct verifier *v, char *to)
{
    const struct bpf_insn *insn = &v->prog->insns[v->slot];
    uint32_t registers = read_registers(insn);
    bool is_call = bpf_is_call(insn) || bpf_is_local_call(insn), first = true;
    struct text text;

    text_start(&text, to, STATE_SIZE);
    for (uint32_t number = 0; number <= BPF_FP; number++) {
        if ((registers >> number & 1u) == 0)
            continue;
        if (is_call && v->frames[v->depth].regs[number].type == REG_NOT_INIT)
            continue;
        text_string(&text, first ? "" : "; ");
        add_register(&text, v, number);
        first = false;
    }
}

/* ---- the walk ---------------------------------------------------------------------------------------------------- */

void witness_step(const struct verifier *v)
{
    if (!seen.on || seen.full)
        return;
    seen.states[seen.path.count % STATES_MAX].step = seen.path.count;
    describe(v, seen.states[seen.path.count % STATES_MAX].text);
    append(&seen.path, v->slot);
}

void witness_fork(void)
{
    if (seen.on && !seen.full)
        append(&seen.forks, seen.path.count);
}

void witness_back(void)
{
    if (seen.on && !seen.full && seen.forks.count > 0)
        seen.path.count = seen.forks.at[--seen.forks.count];
}

void native_witness_start(void)
{
    seen.on = true;
    seen.full = false;
    seen.path.count = 0;
    seen.forks.count = 0;
}

uint32_t native_witness_end(void)
{
    seen.on = false;
    return seen.full ? 0 : seen.path.count;
}

uint32_t native_witness_slot(uint32_t step)
{
    return step < seen.path.count ? seen.path.at[step] : UINT32_MAX;
}

const char *native_witness_state(uint32_t step)
{
    if (step >= seen.path.count || seen.states[step % STATES_MAX].step != step)
        return "";
    return seen.states[step % STATES_MAX].text;
}
