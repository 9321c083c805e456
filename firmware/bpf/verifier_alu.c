/* Arithmetic on the current state: numbers by the transfer functions, pointers by a few strict rules. */
#include "verifier.h"

#include "alu.h"

#define BOUND_IT "compare the number with constants before adding it"

/* A copy of a register. Copies of an unknown share an id, so that what a branch says of one holds for all. */
static void copy_reg(struct verifier *v, struct reg *to, struct reg *from)
{
    bool unknown =
        from->type == REG_VALUE_OR_NULL || (from->type == REG_SCALAR && !scalar_is_const(from->scalar));

    if (unknown && from->id == 0)
        from->id = verifier_new_id(v);
    *to = *from;
}

static bool step_mov(struct verifier *v, const struct bpf_insn *insn)
{
    bool wide = BPF_CLASS(insn->code) == BPF_ALU64;
    struct reg *dst = verifier_reg_at(v, bpf_dst(insn));

    if (BPF_SRC(insn->code) == BPF_K) {
        uint64_t value = (uint64_t)(int64_t)insn->imm;

        verifier_set_scalar(dst, scalar_const(wide ? value : (uint32_t)value));
        return true;
    }
    struct reg *src = verifier_reg_at(v, bpf_src(insn));
    if (src->type == REG_NOT_INIT) {
        return verifier_refuse(v, BPF_UNINITIALISED, "assign it on every path",
                               "r%u is read before it is written", bpf_src(insn));
    }
    if (wide && insn->off == 0) {
        copy_reg(v, dst, src);
        return true;
    }
    if (verifier_is_pointer(src)) {
        return verifier_refuse(v, BPF_POINTER_LEAK, "copy all 64 bits",
                               "part of a pointer (r%u is %s) would become a number", bpf_src(insn),
                               verifier_reg_words(src));
    }
    struct scalar result = wide ? transfer_alu64(BPF_MOV, insn->off, src->scalar, src->scalar)
                                : transfer_alu32(BPF_MOV, insn->off, src->scalar, src->scalar);
    if (!wide && insn->off == 0 && src->scalar.umax <= UINT32_MAX) { /* the same value */
        copy_reg(v, dst, src);
        return true;
    }
    verifier_set_scalar(dst, result);
    return true;
}

static bool check_offset(struct verifier *v, const struct reg *pointer, int64_t off,
                         const struct scalar *scalar)
{
    if (off <= -MAX_OFFSET || off >= MAX_OFFSET || scalar->smin <= -MAX_OFFSET ||
        scalar->smax >= MAX_OFFSET) {
        return verifier_refuse(v, BPF_BAD_POINTER_ARITHMETIC, BOUND_IT,
                               "%s would move by %D + [%D, %D], further than 2^29",
                               verifier_reg_words(pointer), off, scalar->smin, scalar->smax);
    }
    return true;
}

/* dst = pointer + (or -) number. */
static bool move_pointer(struct verifier *v, struct reg *dst, const struct reg *pointer,
                         const struct scalar *number, bool subtract)
{
    struct reg moved = *pointer;
    int64_t off = pointer->off;

    switch (pointer->type) {
    case REG_STACK:
    case REG_PACKET:
    case REG_PACKET_META:
    case REG_MEMORY:
    case REG_VALUE: break;
    case REG_VALUE_OR_NULL:
        return verifier_refuse(v, BPF_BAD_POINTER_ARITHMETIC, "compare it with 0 first", "arithmetic on %s",
                               verifier_reg_words(pointer));
    default:
        return verifier_refuse(v, BPF_BAD_POINTER_ARITHMETIC,
                               "add to pointers into the packet, memory, a map value or the stack",
                               "arithmetic on %s", verifier_reg_words(pointer));
    }
    if (!check_offset(v, pointer, 0, number))
        return false;
    if (scalar_is_const(*number)) {
        off += subtract ? -number->smin : number->smin;
        if (!check_offset(v, pointer, off, &pointer->scalar))
            return false;
        moved.off = (int32_t)off;
        *dst = moved;
        return true;
    }
    moved.scalar = transfer_alu64(subtract ? BPF_SUB : BPF_ADD, 0, pointer->scalar, *number);
    if (!check_offset(v, pointer, off, &moved.scalar))
        return false;
    if (pointer->type == REG_PACKET || pointer->type == REG_PACKET_META) {
        /* a new base: what was checked was said of the old one */
        moved.id = verifier_new_id(v);
        moved.range = 0;
    }
    *dst = moved;
    return true;
}

static bool in_packet(const struct reg *reg)
{
    return reg->type == REG_PACKET || reg->type == REG_PACKET_END || reg->type == REG_PACKET_META;
}

static bool step_pointer(struct verifier *v, const struct bpf_insn *insn, struct reg *dst,
                         const struct reg *src)
{
    uint32_t op = BPF_OP(insn->code);
    struct scalar number;

    if (BPF_CLASS(insn->code) != BPF_ALU64) {
        return verifier_refuse(v, BPF_POINTER_LEAK, "use 64-bit arithmetic",
                               "32-bit arithmetic on a pointer (%s)",
                               verifier_reg_words(verifier_is_pointer(dst) ? dst : src));
    }
    if (verifier_is_pointer(dst) && verifier_is_pointer(src)) {
        if (op == BPF_SUB && in_packet(dst) && in_packet(src)) {
            verifier_set_scalar(dst, scalar_unknown());
            return true;
        }
        return verifier_refuse(v, BPF_BAD_POINTER_ARITHMETIC, "subtract pointers into the packet only",
                               "arithmetic between %s and %s", verifier_reg_words(dst),
                               verifier_reg_words(src));
    }
    if (op == BPF_ADD && verifier_is_pointer(src)) {
        number = dst->scalar;
        return move_pointer(v, dst, src, &number, false);
    }
    if ((op == BPF_ADD || op == BPF_SUB) && verifier_is_pointer(dst)) {
        number = src->scalar;
        return move_pointer(v, dst, dst, &number, op == BPF_SUB);
    }
    return verifier_refuse(v, BPF_BAD_POINTER_ARITHMETIC, "only add to or subtract from a pointer",
                           "operation %X on a pointer (%s)", (uint64_t)op,
                           verifier_reg_words(verifier_is_pointer(dst) ? dst : src));
}

bool verifier_step_alu(struct verifier *v, const struct bpf_insn *insn)
{
    uint32_t op = BPF_OP(insn->code);
    bool wide = BPF_CLASS(insn->code) == BPF_ALU64, by_reg = BPF_SRC(insn->code) == BPF_X && op != BPF_END;
    struct reg *dst = verifier_reg_at(v, bpf_dst(insn)), *src = NULL, immediate;

    if (op == BPF_MOV)
        return step_mov(v, insn);
    if (by_reg) {
        src = verifier_reg_at(v, bpf_src(insn));
    } else {
        src = &immediate;
        verifier_set_scalar(src, scalar_const((uint64_t)(int64_t)insn->imm));
    }
    if (dst->type == REG_NOT_INIT || src->type == REG_NOT_INIT) {
        return verifier_refuse(v, BPF_UNINITIALISED, "assign it on every path",
                               "r%u is read before it is written",
                               dst->type == REG_NOT_INIT ? bpf_dst(insn) : bpf_src(insn));
    }
    if (op != BPF_END && op != BPF_NEG && (verifier_is_pointer(dst) || verifier_is_pointer(src)))
        return step_pointer(v, insn, dst, src);
    if (verifier_is_pointer(dst)) {
        return verifier_refuse(v, BPF_POINTER_LEAK, "load the number that it points to first",
                               "byte order or sign of a pointer (r%u is %s)", bpf_dst(insn),
                               verifier_reg_words(dst));
    }
    if (op == BPF_END) {
        bool swap = wide || BPF_SRC(insn->code) == BPF_X;

        if (scalar_is_const(dst->scalar))
            verifier_set_scalar(dst, scalar_const(bpf_swap(dst->scalar.bits.value, insn->imm, !swap)));
        else
            verifier_set_scalar(dst, transfer_end(dst->scalar, (uint32_t)insn->imm, swap));
        return true;
    }
    if (scalar_is_const(dst->scalar) && scalar_is_const(src->scalar)) {
        uint64_t a = dst->scalar.bits.value, b = src->scalar.bits.value;

        verifier_set_scalar(
            dst, scalar_const(wide ? bpf_alu64(op, insn->off, a, b) : bpf_alu32(op, insn->off, a, b)));
        return true;
    }
    if (src == dst && (op == BPF_SUB || op == BPF_XOR)) {
        verifier_set_scalar(dst, scalar_const(0));
        return true;
    }
    verifier_set_scalar(dst, wide ? transfer_alu64(op, insn->off, dst->scalar, src->scalar)
                                  : transfer_alu32(op, insn->off, dst->scalar, src->scalar));
    return true;
}
