/* Loads, stores and atomics on the current state, and the result of an lddw. */
#include "verifier.h"

#include "alu.h"
#include "map.h"

static const struct bpf_map_def *map_def(const struct verifier *v, const struct reg *reg)
{
    return bpf_map_def_of(v->prog->maps[reg->index]);
}

/* [off + scalar, + size) within an object of `limit` bytes. */
static bool check_bounds(struct verifier *v, uint32_t number, const struct reg *reg, int64_t off,
                         uint32_t size, uint32_t limit)
{
    int64_t low = off + reg->scalar.smin, high = off + reg->scalar.smax + size;

    if (low < 0 || high > (int64_t)limit) {
        return verifier_refuse(v, BPF_BAD_ACCESS, "compare the offset with the size first",
                               "access through r%u (%s) may touch bytes %D to %D of %u", number,
                               verifier_reg_words(reg), low, high - 1, limit);
    }
    return true;
}

static bool check_packet(struct verifier *v, uint32_t number, const struct reg *reg, int64_t off,
                         uint32_t size)
{
    if (reg->scalar.smin < 0) {
        return verifier_refuse(v, BPF_BAD_ACCESS, "make the offset unsigned, or compare it with 0",
                               "packet access through r%u at an offset that may be negative (%D)", number,
                               reg->scalar.smin);
    }
    if (off < 0 || off + size > reg->range) {
        return verifier_refuse(v, BPF_BAD_ACCESS,
                               reg->type == REG_PACKET
                                   ? "compare the pointer plus the access size with data_end first"
                                   : "compare the pointer plus the access size with data first",
                               "packet access through r%u to bytes %D to %D, of which %u are known to exist",
                               number, off, off + size - 1, reg->range);
    }
    return true;
}

/* What would make an access acceptable through a register that is no pointer into memory. */
static const char *access_fix(const struct reg *reg)
{
    switch (reg->type) {
    case REG_SCALAR: return "keep the pointer: arithmetic or a copy made a number of it";
    case REG_CTX: return "the context is read-only: write to the packet, a map or the stack";
    case REG_PACKET_END: return "go through data, to bytes below data_end";
    case REG_MAP: return "look a value up, and go through that";
    default: return NULL;
    }
}

bool verifier_check_access(struct verifier *v, uint32_t number, const struct reg *reg, int32_t off,
                           uint32_t size, bool write)
{
    int64_t at = (int64_t)reg->off + off;

    switch (reg->type) {
    case REG_PACKET:
    case REG_PACKET_META: return check_packet(v, number, reg, at, size);
    case REG_MEMORY: return check_bounds(v, number, reg, at, size, v->prog->test_mem_size);
    case REG_VALUE:
        if (write && bpf_map_is_frozen(v->prog->maps[reg->index])) {
            return verifier_refuse(v, BPF_BAD_ACCESS, "write to another map", "map %s is read-only",
                                   map_def(v, reg)->name);
        }
        return check_bounds(v, number, reg, at, size, map_def(v, reg)->value_size);
    case REG_NOT_INIT:
        return verifier_refuse(v, BPF_UNINITIALISED, "assign it on every path",
                               "r%u is used before it is written", number);
    case REG_VALUE_OR_NULL:
        return verifier_refuse(v, BPF_BAD_ACCESS, "compare it with 0 first", "access through r%u, %s", number,
                               verifier_reg_words(reg));
    default:
        return verifier_refuse(v, BPF_BAD_ACCESS, access_fix(reg), "%s through r%u, which is %s",
                               write ? "store" : "load", number, verifier_reg_words(reg));
    }
}

/* ---- the context ------------------------------------------------------------------------------------------------ */

/* Of a context that is rewritten: the member that lies there, whole, or NULL. */
const struct bpf_ctx_field *verifier_ctx_field(const struct bpf_hook_shape *hook, int32_t off, uint32_t size)
{
    for (uint32_t i = 0; i < hook->field_count; i++) {
        if (hook->fields[i].off == off && hook->fields[i].size == size)
            return &hook->fields[i];
    }
    return NULL;
}

static bool load_ctx(struct verifier *v, const struct bpf_insn *insn, uint32_t size, struct reg *result)
{
    static const uint8_t pointers[] = {[BPF_POINTS_PACKET] = REG_PACKET,
                                       [BPF_POINTS_PACKET_END] = REG_PACKET_END,
                                       [BPF_POINTS_PACKET_META] = REG_PACKET_META};
    const struct bpf_hook_shape *hook = v->hook;
    const struct bpf_ctx_field *field = NULL;
    int32_t off = insn->off;

    if (hook->field_count == 0) {
        if (off < 0 || off + (int32_t)size > (int32_t)hook->ctx_size) {
            return verifier_refuse(v, BPF_BAD_ACCESS, hook->load_rule, "context load of %u bytes at %d", size,
                                   off);
        }
        verifier_set_scalar(result, verifier_unknown_of_size(size));
        return true;
    }
    field = verifier_ctx_field(hook, off, size);
    if (field == NULL) {
        return verifier_refuse(v, BPF_BAD_ACCESS, hook->load_rule, "context load of %u bytes at offset %d",
                               size, off);
    }
    if (field->points == BPF_POINTS_NOWHERE) {
        verifier_set_scalar(result, verifier_unknown_of_size(size));
        return true;
    }
    if (BPF_MODE(insn->code) != BPF_MEM) { /* half an address, and a number: CVE-2024-47702 */
        return verifier_refuse(v, BPF_BAD_ACCESS, "load it as unsigned",
                               "context load of %u bytes at offset %d: a pointer is not sign-extended", size,
                               off);
    }
    verifier_set_pointer(result, (enum reg_type)pointers[field->points], 0);
    if (result->type != REG_PACKET_END)
        result->id = result->type == REG_PACKET ? PACKET_BASE_ID : META_BASE_ID;
    return true;
}

/* One instruction cannot be rewritten for the context and stay unchanged for other pointers. */
static bool note_load(struct verifier *v, bool from_ctx)
{
    struct slot_info *info = &v->info[v->slot];

    info->flags |= from_ctx ? SLOT_CTX_LOAD : SLOT_OTHER_LOAD;
    if ((info->flags & (SLOT_CTX_LOAD | SLOT_OTHER_LOAD)) == (SLOT_CTX_LOAD | SLOT_OTHER_LOAD)) {
        return verifier_refuse(v, BPF_BAD_ACCESS, "use one load for each",
                               "the same load reads the context on one path and something else on another");
    }
    return true;
}

/* ---- loads and stores ------------------------------------------------------------------------------------------- */

/* What a load from a frozen map at a known place gives: its bytes never change. */
static bool load_frozen(const struct verifier *v, const struct reg *reg, int32_t off, uint32_t size,
                        uint64_t *value)
{
    struct bpf_map *map = v->prog->maps[reg->index];
    const uint8_t *values = bpf_map_values(map);

    if (!bpf_map_is_frozen(map) || !bpf_map_is_direct(map) || !scalar_is_const(reg->scalar))
        return false;
    values += reg->off + off + reg->scalar.smin;
    *value = 0;
    for (uint32_t i = 0; i < size; i++)
        *value |= (uint64_t)values[i] << (8 * i);
    return true;
}

bool verifier_step_load(struct verifier *v, const struct bpf_insn *insn)
{
    uint32_t size = bpf_access_size(insn->code), number = bpf_src(insn);
    const struct reg *at = verifier_reg_at(v, number);

    if (!note_load(v, at->type == REG_CTX && v->hook->field_count != 0))
        return false;
    struct reg result;
    uint64_t value = 0;
    if (at->type == REG_CTX) {
        if (!load_ctx(v, insn, size, &result))
            return false;
    } else if (at->type == REG_STACK) {
        if (!verifier_stack_load(v, at, insn->off, size, &result))
            return false;
    } else {
        if (!verifier_check_access(v, number, at, insn->off, size, false))
            return false;
        if (at->type == REG_VALUE && load_frozen(v, at, insn->off, size, &value))
            verifier_set_scalar(&result, scalar_const(value));
        else
            verifier_set_scalar(&result, verifier_unknown_of_size(size));
    }
    if (BPF_MODE(insn->code) == BPF_MEMSX)
        verifier_set_scalar(&result, scalar_sign_extend(result.scalar, 8 * size));
    *verifier_reg_at(v, bpf_dst(insn)) = result;
    return true;
}

bool verifier_step_store(struct verifier *v, const struct bpf_insn *insn)
{
    uint32_t size = bpf_access_size(insn->code), number = bpf_dst(insn);
    const struct reg *at = verifier_reg_at(v, number);
    struct reg immediate, *source = &immediate;

    if (BPF_CLASS(insn->code) == BPF_STX)
        source = verifier_reg_at(v, bpf_src(insn));
    else
        verifier_set_scalar(source, scalar_const((uint64_t)(int64_t)insn->imm));
    if (source->type == REG_NOT_INIT) {
        return verifier_refuse(v, BPF_UNINITIALISED, "assign it on every path",
                               "r%u is stored before it is written", bpf_src(insn));
    }
    if (at->type == REG_STACK)
        return verifier_stack_store(v, at, insn->off, size, source);
    if (!verifier_check_access(v, number, at, insn->off, size, true))
        return false;
    if (verifier_is_pointer(source)) {
        return verifier_refuse(v, BPF_POINTER_LEAK, "store numbers only",
                               "%s would be stored outside the stack", verifier_reg_words(source));
    }
    return true;
}

bool verifier_step_atomic(struct verifier *v, const struct bpf_insn *insn)
{
    uint32_t size = bpf_access_size(insn->code), number = bpf_dst(insn);
    const struct reg *at = verifier_reg_at(v, number);
    struct reg *source = verifier_reg_at(v, bpf_src(insn)), *r0 = verifier_reg_at(v, BPF_R0), old;
    int64_t off = (int64_t)at->off + insn->off;

    if (source->type != REG_SCALAR || (insn->imm == BPF_CMPXCHG && r0->type != REG_SCALAR)) {
        return verifier_refuse(v, source->type == REG_NOT_INIT ? BPF_UNINITIALISED : BPF_POINTER_LEAK,
                               "use a number", "atomic operand r%u is %s",
                               source->type != REG_SCALAR ? bpf_src(insn) : BPF_R0,
                               verifier_reg_words(source->type != REG_SCALAR ? source : r0));
    }
    if (at->type == REG_PACKET || at->type == REG_PACKET_META || at->type == REG_CTX) {
        return verifier_refuse(v, BPF_BAD_ACCESS, "use map values, memory or the stack", "atomic on %s",
                               verifier_reg_words(at));
    }
    if (((uint64_t)off + at->scalar.bits.value) % size != 0 || (at->scalar.bits.mask & (size - 1)) != 0) {
        return verifier_refuse(v, BPF_BAD_ACCESS, "align it",
                               "atomic of %u bytes at an offset that is not a multiple of it", size);
    }
    if (at->type == REG_STACK) {
        struct reg written;

        if (!scalar_is_const(at->scalar)) {
            return verifier_refuse(v, BPF_BAD_ACCESS, "use a constant offset",
                                   "atomic at a variable stack offset");
        }
        if (!verifier_stack_read(v, at, insn->off, size))
            return false;
        verifier_set_scalar(&written, verifier_unknown_of_size(size));
        if (!verifier_stack_store(v, at, insn->off, size, &written))
            return false;
    } else if (!verifier_check_access(v, number, at, insn->off, size, true)) {
        return false;
    }
    verifier_set_scalar(&old, verifier_unknown_of_size(size));
    if (insn->imm == BPF_CMPXCHG)
        *r0 = old;
    else if (insn->imm & BPF_FETCH)
        *source = old;
    return true;
}

bool verifier_step_lddw(struct verifier *v, const struct bpf_insn *insn)
{
    struct reg *dst = verifier_reg_at(v, bpf_dst(insn));

    switch (bpf_src(insn)) {
    case BPF_LDDW_MAP: verifier_set_pointer(dst, REG_MAP, (uint32_t)insn->imm); break;
    case BPF_LDDW_MAP_VALUE:
        verifier_set_pointer(dst, REG_VALUE, (uint32_t)insn->imm);
        dst->off = insn[1].imm;
        break;
    default: verifier_set_scalar(dst, scalar_const(bpf_lddw_value(insn))); break;
    }
    return true;
}
