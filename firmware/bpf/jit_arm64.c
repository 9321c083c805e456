/* The JIT's driver: finds targets and functions, gives each function its frame, and emits slot after slot. */
#include "jit_arm64.h"

/* ---- what jumps where ------------------------------------------------------------------------------------------- */

static bool note_function(struct jit *j, uint32_t i, int64_t start)
{
    if (start <= 0 || start >= j->slots || j->insns[start].code == 0) {
        return jit_fail(j, i,
                        "a local call must go to the first instruction of a function other than the "
                        "program itself");
    }
    uint32_t at = j->func_count;
    while (at > 0 && j->funcs[at - 1].start > start)
        at--;
    if (at > 0 && j->funcs[at - 1].start == start)
        return true;
    if (j->func_count > BPF_MAX_SUBPROGS)
        return jit_fail(j, i, "too many functions");
    for (uint32_t k = j->func_count; k > at; k--)
        j->funcs[k] = j->funcs[k - 1];
    j->funcs[at] = (struct jit_func){.start = (uint32_t)start};
    j->func_count++;
    return true;
}

static bool note_jump(struct jit *j, uint32_t i)
{
    const struct bpf_insn *insn = &j->insns[i];
    if (bpf_is_exit(insn))
        return true;
    int64_t t = bpf_jump_target(insn, i);
    if (bpf_is_call(insn))
        return bpf_src(insn) != BPF_CALL_LOCAL || note_function(j, i, t);
    if (t < 0 || t >= j->slots || j->insns[t].code == 0)
        return jit_fail(j, i, "jump out of the program or into a 64-bit constant");
    j->slot[t] |= SLOT_TARGET;
    return true;
}

/* First pass: checks registers, marks branch targets, collects functions in order of their start. */
static bool find_targets(struct jit *j)
{
    for (uint32_t i = 0; i <= j->slots; i++)
        j->slot[i] = 0;
    j->func_count = 1;
    j->funcs[0] = (struct jit_func){.start = 0};
    for (uint32_t i = 0; i < j->slots; i++) {
        const struct bpf_insn *insn = &j->insns[i];
        uint32_t class = BPF_CLASS(insn->code);
        if (!jit_reached(j, i))
            continue;
        if (bpf_dst(insn) > BPF_FP || bpf_src(insn) > BPF_FP)
            return jit_fail(j, i, "registers are r0 to r10");
        if (class == BPF_JMP || class == BPF_JMP32) {
            if (!note_jump(j, i))
                return false;
        } else if (class == BPF_LD) {
            if (++i >= j->slots || insn[1].code != 0)
                return jit_fail(j, i - 1, "a 64-bit constant needs a second slot");
        } else if (bpf_dst(insn) == BPF_FP && class != BPF_ST && class != BPF_STX) {
            return jit_fail(j, i, "r10 is read-only");
        }
    }
    return true;
}

/* ---- functions and their frames --------------------------------------------------------------------------------- */

/* Saves or restores x19 and up, from 16 bytes above SP. */
static void move_saved(struct jit *j, bool load)
{
    uint32_t n = 0;
    for (; n + 1 < j->saved; n += 2)
        jit_emit(j, a64_pair(A64_PAIR_OFFSET, 1, load, 19 + n, 20 + n, A64_SP, (int32_t)(2 + n)));
    if (n < j->saved)
        jit_emit(j, a64_ldst_uimm(3, load ? A64_LDR : A64_STR, 19 + n, A64_SP, 2 + n));
}

/* With calls, from SP up: frame record, saved registers, BPF stack. Without: the BPF stack, if any. */
static void emit_prologue(struct jit *j)
{
    if (!j->calls) {
        if (j->frame)
            jit_emit(j, a64_rri(A64_SUBI, 1, A64_SP, A64_SP, j->frame, 0));
        return;
    }
    if (j->frame <= 512) {
        jit_emit(j, a64_pair(A64_PAIR_PRE, 1, false, A64_FP, A64_LR, A64_SP, -(int32_t)(j->frame / 8)));
    } else {
        jit_emit(j, a64_rri(A64_SUBI, 1, A64_SP, A64_SP, j->frame, 0));
        jit_emit(j, a64_pair(A64_PAIR_OFFSET, 1, false, A64_FP, A64_LR, A64_SP, 0));
    }
    jit_emit(j, a64_rri(A64_ADDI, 1, A64_FP, A64_SP, 0, 0));
    move_saved(j, false);
}

void jit_emit_epilogue(struct jit *j)
{
    if (j->calls) {
        move_saved(j, true);
        if (j->frame < 512) {
            jit_emit(j, a64_pair(A64_PAIR_POST, 1, true, A64_FP, A64_LR, A64_SP, (int32_t)(j->frame / 8)));
        } else {
            jit_emit(j, a64_pair(A64_PAIR_OFFSET, 1, true, A64_FP, A64_LR, A64_SP, 0));
            jit_emit(j, a64_rri(A64_ADDI, 1, A64_SP, A64_SP, j->frame, 0));
        }
    } else if (j->frame) {
        jit_emit(j, a64_rri(A64_ADDI, 1, A64_SP, A64_SP, j->frame, 0));
    }
    jit_emit(j, a64_ret());
}

uint32_t jit_epilogue_words(const struct jit *j)
{
    if (!j->calls)
        return j->frame ? 2 : 1;
    return (j->saved + 1) / 2 + (j->frame < 512 ? 2 : 3);
}

/* Bytes below r10 that the function starting at this slot uses: the verifier's count, or all that it may. */
static uint32_t stack_of(const struct jit *j, uint32_t start, bool uses_stack)
{
    for (uint32_t k = 0; k < j->prog->subprog_count && k < BPF_MAX_SUBPROGS; k++) {
        if (j->prog->subprog_start[k] == start)
            return (j->prog->subprog_stack[k] + 15) & ~15u;
    }
    return uses_stack ? BPF_STACK_SIZE : 0;
}

/* Looks through function f, decides where its registers live, and emits its prologue. */
static bool enter_function(struct jit *j, uint32_t f)
{
    struct jit_func *func = &j->funcs[f];
    j->func_end = f + 1 < j->func_count ? func[1].start : j->slots;
    uint32_t mentioned = 0;
    j->calls = false;
    for (uint32_t i = func->start; i < j->func_end; i++) {
        const struct bpf_insn *insn = &j->insns[i];
        if (!jit_reached(j, i))
            continue;
        mentioned |= 1u << bpf_dst(insn) | 1u << bpf_src(insn);
        j->calls |= bpf_is_call(insn);
        i += bpf_is_lddw(insn);
    }

    static const uint8_t homes[6] = {0, 5, 1, 2, 3, 4};
    for (uint32_t r = 0; r < 6; r++)
        j->reg[r] = homes[r];
    j->saved = 0;
    for (uint32_t r = 6; r < 10; r++) {
        if (!j->calls)
            j->reg[r] = (uint8_t)r;
        else if (mentioned & 1u << r)
            j->reg[r] = (uint8_t)(19 + j->saved++);
        else
            j->reg[r] = 19; /* never asked for */
    }
    uint32_t stack = stack_of(j, func->start, (mentioned & 1u << BPF_FP) != 0);
    if (stack > BPF_STACK_SIZE)
        return jit_fail(j, func->start, "a function's stack is more than a frame");
    j->frame = stack + (j->calls ? 16 + ((j->saved * 8 + 15) & ~15u) : 0);

    func->entry = j->words + 1;
    if (!jit_bind_chain(j, func->chain))
        return jit_fail(j, func->start, "call out of range");
    emit_prologue(j);
    j->r1_in_x0 = f == 0; /* the program's argument; functions are called with r1 at home */
    return true;
}

/* ---- the second pass -------------------------------------------------------------------------------------------- */

static uint32_t emit_slot(struct jit *j, uint32_t i)
{
    switch (BPF_CLASS(j->insns[i].code)) {
    case BPF_ALU:
    case BPF_ALU64: return jit_emit_alu(j, i);
    case BPF_LD:
    case BPF_LDX: return jit_emit_load(j, i);
    case BPF_ST:
    case BPF_STX: return jit_emit_store(j, i);
    default: return jit_emit_jump(j, i);
    }
}

static void forget_widths(struct jit *j)
{
    for (uint32_t r = 0; r < sizeof(j->width); r++)
        j->width[r] = 64;
}

/* Makes slot i a label: branches that wait for it are bound, and from here on its entry is its offset. */
static bool place_slot(struct jit *j, uint32_t i)
{
    if (jit_is_target(j, i)) {
        jit_leave_block(j, i);
        forget_widths(j);
        if (!jit_bind_chain(j, j->slot[i] & SLOT_CHAIN))
            return jit_fail(j, i, "branch out of range");
    }
    j->slot[i] = j->words * 4;
    return true;
}

static bool emit_program(struct jit *j, uint32_t *max_per_slot)
{
    uint32_t f = 0;
    for (uint32_t i = 0; i < j->slots;) {
        if (j->words + JIT_SLOT_WORDS > j->limit)
            return jit_fail(j, i, "the code does not fit the memory for it");
        uint32_t before = j->words;
        if (f < j->func_count && j->funcs[f].start == i) {
            forget_widths(j);
            if (!enter_function(j, f++))
                return false;
        }
        if (!place_slot(j, i))
            return false;
        uint32_t taken = 1;
        if (jit_reached(j, i))
            taken = emit_slot(j, i);
        if (taken == 0)
            return false;
        for (uint32_t k = 1; k < taken; k++)
            j->slot[i + k] = j->words * 4;
        if (j->words - before > *max_per_slot)
            *max_per_slot = j->words - before;
        i += taken;
    }
    j->slot[j->slots] = j->words * 4;
    return true;
}

bool bpf_jit_arm64(const struct bpf_prog *prog, void *code, size_t code_size, uint64_t code_va,
                   uint32_t *slot_to_offset, struct bpf_jit_result *out)
{
    struct jit j;
    j.prog = prog;
    j.insns = prog->insns;
    j.code = code;
    j.slot = slot_to_offset;
    j.code_va = code_va;
    j.slots = prog->slots;
    j.words = 0;
    /* chains count words in 20 bits; CBZ and B.cond reach as far */
    j.limit = code_size / 4 < SLOT_CHAIN / 4 ? (uint32_t)(code_size / 4) : SLOT_CHAIN / 4;
    j.error = NULL;
    j.error_slot = 0;
    out->max_per_slot = 0;
    if (prog->slots == 0 || prog->slots > BPF_MAX_SLOTS) {
        jit_fail(&j, 0, "a program has 1 to 4096 slots");
    } else if (((uintptr_t)code | code_va) & 3u) {
        jit_fail(&j, 0, "code must be aligned to 4 bytes");
    } else if (slot_to_offset == NULL && j.limit < prog->slots + 1 + JIT_SLOT_WORDS) {
        jit_fail(&j, 0, "the code does not fit the memory for it");
    } else {
        if (slot_to_offset == NULL) { /* the end of the code memory serves */
            j.limit -= prog->slots + 1;
            j.slot = j.code + j.limit;
        }
        if (find_targets(&j))
            emit_program(&j, &out->max_per_slot);
    }
    out->bytes = j.error != NULL ? 0 : j.words * 4;
    out->error = j.error;
    out->slot = j.error_slot;
    return j.error == NULL;
}
