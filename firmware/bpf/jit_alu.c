/* ALU and ALU64 (RFC 9669 section 4.1) as A64 data processing.
 *
 * A64 needs no special cases for BPF's arithmetic: UDIV and SDIV give 0 for a division by zero and wrap INT_MIN / -1
 * (C6.2.390, C6.2.315), so that MSUB leaves the dividend for a remainder by zero; LSLV, LSRV and ASRV take the amount
 * modulo the register size; a write to W clears the upper half.
 *
 * Cortex-A53 erratum 835769 (a 64-bit multiply-accumulate right after a memory access) cannot occur: the one that
 * accumulates, MSUB, always follows its division.
 *
 * BPF is a two-operand machine: `mov rX, rY` before an operation on rX becomes A64's third operand. */
#include "jit_arm64.h"

/* An ALU instruction on its way: rd = rn OP operand. */
struct alu {
    uint32_t sf, rd, rn;
    bool imm; /* operand: imm, or rm */
    int64_t value;
    uint32_t rm;
};

static void move(struct jit *j, const struct alu *a)
{
    if (a->rd != a->rn || !a->sf)
        jit_emit(j, a64_mov(a->sf, a->rd, a->rn));
}

/* The value as the register holds it. */
static uint64_t constant(const struct alu *a)
{
    return a->sf ? (uint64_t)a->value : (uint64_t)a->value & 0xffffffffu;
}

/* The operand in a register. */
static uint32_t operand(struct jit *j, const struct alu *a)
{
    if (!a->imm)
        return a->rm;
    jit_load_constant(j, T0, constant(a));
    return T0;
}

static bool is_power_of_two(uint64_t value, uint32_t *log2)
{
    if (value == 0 || (value & (value - 1)) != 0)
        return false;
    *log2 = (uint32_t)__builtin_ctzll(value);
    return true;
}

/* LSL, LSR (UBFM) and ASR (SBFM) by a constant. */
static void shift(struct jit *j, const struct alu *a, uint32_t op, uint32_t amount)
{
    uint32_t top = a->sf ? 63 : 31;
    amount &= top;
    if (amount == 0)
        move(j, a);
    else if (op == BPF_LSH)
        jit_emit(j, a64_bitfield(A64_UBFM, a->sf, a->rd, a->rn, top + 1 - amount, top - amount));
    else
        jit_emit(j, a64_bitfield(op == BPF_RSH ? A64_UBFM : A64_SBFM, a->sf, a->rd, a->rn, amount, top));
}

static void add_or_sub(struct jit *j, const struct alu *a, bool subtract)
{
    if (!a->imm)
        jit_emit(j, a64_rrr(subtract ? A64_SUB : A64_ADD, a->sf, a->rd, a->rn, a->rm));
    else if (a->value == 0)
        move(j, a);
    else
        jit_add_constant(j, a->sf, a->rd, a->rn, subtract ? -a->value : a->value);
}

static void multiply(struct jit *j, const struct alu *a)
{
    uint64_t value = a->imm ? constant(a) : 0;
    uint64_t negated = a->sf ? 0 - value : (0 - value) & 0xffffffffu;
    uint32_t log2;
    if (a->imm && value == 0)
        jit_emit(j, a64_wide(A64_MOVZ, 0, a->rd, 0, 0));
    else if (a->imm && is_power_of_two(value, &log2))
        shift(j, a, BPF_LSH, log2);
    else if (a->imm && is_power_of_two(value - 1, &log2)) /* x * (2^n + 1) = x + (x << n) */
        jit_emit(j, a64_rrr_lsl(A64_ADD, a->sf, a->rd, a->rn, a->rn, log2));
    else if (a->imm && is_power_of_two(negated, &log2)) /* x * -2^n = -(x << n) */
        jit_emit(j, a64_rrr_lsl(A64_SUB, a->sf, a->rd, A64_ZR, a->rn, log2));
    else
        jit_emit(j, a64_rrrr(A64_MADD, a->sf, a->rd, a->rn, operand(j, a), A64_ZR));
}

static void divide(struct jit *j, const struct alu *a, bool is_signed, bool remainder)
{
    uint64_t value = a->imm ? constant(a) : 0;
    uint32_t log2;
    if (a->imm && value == 0) {
        if (remainder)
            move(j, a);
        else
            jit_emit(j, a64_wide(A64_MOVZ, 0, a->rd, 0, 0));
        return;
    }
    if (a->imm && !is_signed && is_power_of_two(value, &log2)) {
        if (!remainder)
            shift(j, a, BPF_RSH, log2);
        else if (log2 == 0)
            jit_emit(j, a64_wide(A64_MOVZ, 0, a->rd, 0, 0));
        else /* UBFX rd, rn, #0, #log2 */
            jit_emit(j, a64_bitfield(A64_UBFM, a->sf, a->rd, a->rn, 0, log2 - 1));
        return;
    }
    uint32_t rm = operand(j, a);
    uint32_t quotient = remainder ? T1 : a->rd;
    jit_emit(j, a64_rrr(is_signed ? A64_SDIV : A64_UDIV, a->sf, quotient, a->rn, rm));
    if (remainder)
        jit_emit(j, a64_rrrr(A64_MSUB, a->sf, a->rd, quotient, rm, a->rn));
}

static void logical(struct jit *j, const struct alu *a, uint32_t op)
{
    static const enum a64_rrr by_register[] = {A64_ORR, A64_AND, A64_EOR};
    static const enum a64_logical by_immediate[] = {A64_ORRI, A64_ANDI, A64_EORI};
    uint32_t row = op == BPF_OR ? 0 : op == BPF_AND ? 1 : 2;
    uint32_t bitmask;
    if (!a->imm) {
        jit_emit(j, a64_rrr(by_register[row], a->sf, a->rd, a->rn, a->rm));
    } else if (a->value == 0 && op == BPF_AND) {
        jit_emit(j, a64_wide(A64_MOVZ, 0, a->rd, 0, 0));
    } else if ((a->value == 0 && op != BPF_AND) || (a->value == -1 && op == BPF_AND)) {
        move(j, a);
    } else if (a->value == -1 && op == BPF_XOR) { /* MVN */
        jit_emit(j, a64_rrr(A64_ORN, a->sf, a->rd, A64_ZR, a->rn));
    } else {
        /* A non-negative mask clears the upper half, as a W register does. */
        uint32_t sf = op == BPF_AND && a->value >= 0 ? 0 : a->sf;
        if (a64_bitmask((uint64_t)a->value, sf, &bitmask))
            jit_emit(j, a64_logical(by_immediate[row], sf, a->rd, a->rn, bitmask));
        else
            jit_emit(j, a64_rrr(by_register[row], sf, a->rd, a->rn, operand(j, a)));
    }
}

/* Two shifts by constants in a row, or a shift right and a mask of low bits: one UBFM or SBFM (C6.2.391, C6.2.303),
 * which move the field imms:immr of the source, or insert it at a position. True when done. */
static bool shift_pair(struct jit *j, const struct alu *a, const struct bpf_insn *first,
                       const struct bpf_insn *second)
{
    uint32_t width = a->sf ? 64 : 32, op1 = BPF_OP(first->code), op2 = BPF_OP(second->code);
    uint32_t class = a->sf ? BPF_ALU64 : BPF_ALU;
    if (BPF_CLASS(second->code) != class || BPF_SRC(second->code) != BPF_K ||
        bpf_dst(second) != bpf_dst(first)) {
        return false;
    }
    uint32_t n = (uint32_t)first->imm, m = (uint32_t)second->imm, log2;
    if (n == 0 || n >= width)
        return false;
    if (op1 == BPF_LSH && (op2 == BPF_RSH || op2 == BPF_ARSH) && m != 0 && m < width) {
        /* the field of the width - n low bits, to bit n - m or from bit m - n */
        jit_emit(j, a64_bitfield(op2 == BPF_RSH ? A64_UBFM : A64_SBFM, a->sf, a->rd, a->rn,
                                 (m - n) & (width - 1), width - 1 - n));
        return true;
    }
    if (op1 == BPF_RSH && op2 == BPF_AND && second->imm > 0 &&
        is_power_of_two((uint64_t)second->imm + 1, &log2) && n + log2 <= width) {
        jit_emit(j, a64_bitfield(A64_UBFM, a->sf, a->rd, a->rn, n, n + log2 - 1));
        return true;
    }
    return false;
}

/* BPF_END: `width` bits, swapped or kept, the rest cleared. */
static void swap(struct jit *j, const struct alu *a, uint32_t width, bool swapped, uint32_t known)
{
    if (!swapped) {
        if (width == 64 || known <= width)
            move(j, a);
        else if (width == 32)
            jit_emit(j, a64_mov(0, a->rd, a->rn));
        else
            jit_emit(j, a64_bitfield(A64_UBFM, 0, a->rd, a->rn, 0, 15)); /* UXTH */
        return;
    }
    if (width != 16) {
        jit_emit(j, a64_rev(width == 64, a->rd, a->rn));
        return;
    }
    jit_emit(j, a64_rev16(a->rd, a->rn));
    if (known > 16)
        jit_emit(j, a64_bitfield(A64_UBFM, 0, a->rd, a->rd, 0, 15));
}

/* MOV between registers: rd = rm, low bits sign-extended where `off` says so (RFC 9669 section 4.1). */
static void move_register(struct jit *j, uint32_t sf, uint32_t rd, uint32_t rm, int32_t off, uint32_t known)
{
    if (off)
        jit_emit(j, a64_bitfield(A64_SBFM, sf, rd, rm, 0, (uint32_t)off - 1)); /* SXTB, SXTH, SXTW */
    else if (rd != rm || (!sf && known > 32))
        jit_emit(j, a64_mov(sf, rd, rm));
}

/* Bits that the result may have set. */
static uint32_t result_width(const struct bpf_insn *insn, uint32_t sf, uint32_t before)
{
    uint32_t op = BPF_OP(insn->code);
    uint32_t width = sf ? 64 : 32;
    if (op == BPF_END)
        return insn->imm == 16 ? 16 : insn->imm == 32 ? 32 : 64;
    if (BPF_SRC(insn->code) == BPF_X)
        return width;
    if ((op == BPF_MOV || op == BPF_AND) && insn->imm >= 0)
        return insn->imm < 0x10000 ? 16 : 32;
    if (op == BPF_RSH && before < width)
        return before;
    return width;
}

static bool is_well_formed(const struct bpf_insn *insn)
{
    uint32_t op = BPF_OP(insn->code), x = BPF_SRC(insn->code);
    bool wide = BPF_CLASS(insn->code) == BPF_ALU64;
    switch (op) {
    case BPF_DIV:
    case BPF_MOD: return insn->off == 0 || insn->off == 1;
    case BPF_MOV:
        return insn->off == 0 || (x && (insn->off == 8 || insn->off == 16 || (wide && insn->off == 32)));
    case BPF_END:
        return insn->off == 0 && (!wide || !x) && (insn->imm == 16 || insn->imm == 32 || insn->imm == 64);
    case BPF_NEG: return insn->off == 0 && !x;
    default: return op <= BPF_ARSH && insn->off == 0;
    }
}

/* Whether slot i operates on register r in place, reading it within the width that `sf` moved. */
static bool operates_on(const struct jit *j, uint32_t i, uint32_t r, uint32_t sf)
{
    if (!jit_continues(j, i))
        return false;
    const struct bpf_insn *insn = &j->insns[i];
    uint32_t class = BPF_CLASS(insn->code), op = BPF_OP(insn->code);
    if ((class != BPF_ALU && class != BPF_ALU64) || bpf_dst(insn) != r || !is_well_formed(insn))
        return false;
    if (op == BPF_MOV || op == BPF_END)
        return false;
    return sf || class == BPF_ALU; /* after a 32-bit move, the upper half of the source does not count */
}

/* Emits slot i with its destination's old value in `from` (or -1: where it lives). */
static uint32_t emit_operation(struct jit *j, uint32_t i, int32_t from)
{
    const struct bpf_insn *insn = &j->insns[i];
    uint32_t op = BPF_OP(insn->code), dst = bpf_dst(insn), src = bpf_src(insn);
    struct alu a = {
        .sf = BPF_CLASS(insn->code) == BPF_ALU64,
        .imm = BPF_SRC(insn->code) == BPF_K,
        .value = insn->imm,
    };
    uint32_t known = from < 0 ? j->width[dst] : 64;
    a.rn = from < 0 ? jit_use(j, dst, T0) : (uint32_t)from;
    if (!a.imm)
        a.rm = src == dst ? a.rn : jit_use(j, src, T0);
    bool paired = (op == BPF_LSH || op == BPF_RSH) && a.imm && jit_continues(j, i + 1);
    a.rd = jit_define(j, dst, i + 1);
    if (paired && shift_pair(j, &a, insn, insn + 1)) {
        j->width[dst] = a.sf ? 64 : 32;
        return 2;
    }
    switch (op) {
    case BPF_ADD: add_or_sub(j, &a, false); break;
    case BPF_SUB: add_or_sub(j, &a, true); break;
    case BPF_MUL: multiply(j, &a); break;
    case BPF_DIV: divide(j, &a, insn->off == 1, false); break;
    case BPF_MOD: divide(j, &a, insn->off == 1, true); break;
    case BPF_LSH:
    case BPF_RSH:
    case BPF_ARSH:
        if (a.imm) {
            shift(j, &a, op, (uint32_t)insn->imm);
        } else {
            jit_emit(j, a64_rrr(op == BPF_LSH   ? A64_LSLV
                                : op == BPF_RSH ? A64_LSRV
                                                : A64_ASRV,
                                a.sf, a.rd, a.rn, a.rm));
        }
        break;
    case BPF_NEG: jit_emit(j, a64_rrr(A64_SUB, a.sf, a.rd, A64_ZR, a.rn)); break;
    default: logical(j, &a, op); break;
    }
    j->width[dst] = (uint8_t)result_width(insn, a.sf, known);
    return 1;
}

static uint32_t emit_move(struct jit *j, uint32_t i)
{
    const struct bpf_insn *insn = &j->insns[i];
    uint32_t sf = BPF_CLASS(insn->code) == BPF_ALU64, dst = bpf_dst(insn), src = bpf_src(insn);
    if (BPF_SRC(insn->code) == BPF_K) {
        jit_load_constant(j, jit_define(j, dst, i + 1),
                          sf ? (uint64_t)(int64_t)insn->imm : (uint32_t)insn->imm);
        j->width[dst] = (uint8_t)result_width(insn, sf, 64);
        return 1;
    }
    if (src == BPF_FP && insn->off == 0 && sf) {
        int64_t offset = (int64_t)j->frame;
        const struct bpf_insn *next = insn + 1;
        if (jit_continues(j, i + 1) && next->code == (BPF_ALU64 | BPF_ADD | BPF_K) && bpf_dst(next) == dst &&
            next->imm > -(1 << 23) && next->imm < 1 << 23) {
            jit_add_constant(j, 1, jit_define(j, dst, i + 2), A64_SP, offset + next->imm);
            return 2;
        }
        jit_add_constant(j, 1, jit_define(j, dst, i + 1), A64_SP, offset);
        return 1;
    }
    uint32_t rm = jit_use(j, src, T2);
    if (insn->off == 0 && operates_on(j, i + 1, dst, sf))
        return 1 + emit_operation(j, i + 1, (int32_t)rm);
    uint32_t known = j->width[src];
    uint32_t rd = jit_define(j, dst, i + 1);
    move_register(j, sf, rd, rm, insn->off, known);
    if (insn->off)
        j->width[dst] = sf ? 64 : 32;
    else
        j->width[dst] = (uint8_t)(sf || known < 32 ? known : 32);
    return 1;
}

uint32_t jit_emit_alu(struct jit *j, uint32_t i)
{
    const struct bpf_insn *insn = &j->insns[i];
    if (!is_well_formed(insn)) {
        jit_fail(j, i, "no such ALU instruction");
        return 0;
    }
    if (BPF_OP(insn->code) == BPF_MOV)
        return emit_move(j, i);
    if (BPF_OP(insn->code) != BPF_END)
        return emit_operation(j, i, -1);
    struct alu a = {.sf = 1};
    uint32_t dst = bpf_dst(insn), known = j->width[dst];
    a.rn = jit_use(j, dst, T0);
    bool swapped = BPF_CLASS(insn->code) == BPF_ALU64 || BPF_SRC(insn->code) == BPF_X;
    a.rd = jit_define(j, dst, i + 1);
    swap(j, &a, (uint32_t)insn->imm, swapped, known);
    j->width[dst] = (uint8_t)result_width(insn, 1, known);
    return 1;
}
