/* What an arithmetic instruction computes: RFC 9669 section 4.1 and 4.2, for known operands. */
#ifndef ASSAY_BPF_ALU_H
#define ASSAY_BPF_ALU_H

#include "insn.h"

/* Sign-extends the low `bits` (8, 16, 32 or 64) of a value. */
static inline uint64_t bpf_sign_extend(uint64_t value, uint32_t bits)
{
    switch (bits) {
    case 8: return (uint64_t)(int64_t)(int8_t)(uint8_t)value;
    case 16: return (uint64_t)(int64_t)(int16_t)(uint16_t)value;
    case 32: return (uint64_t)(int64_t)(int32_t)(uint32_t)value;
    default: return value;
    }
}

/* INT_MIN / -1 is INT_MIN: negation wraps. */
static inline uint64_t bpf_sdiv(int64_t a, int64_t b)
{
    if (b == 0)
        return 0;
    return b == -1 ? 0 - (uint64_t)a : (uint64_t)(a / b);
}

/* Truncated: the result has the sign of the dividend. INT_MIN % -1 is 0. */
static inline uint64_t bpf_smod(int64_t a, int64_t b)
{
    if (b == 0)
        return (uint64_t)a;
    return b == -1 ? 0 : (uint64_t)(a % b);
}

static inline uint64_t bpf_alu64(uint32_t op, int32_t off, uint64_t a, uint64_t b)
{
    switch (op) {
    case BPF_ADD: return a + b;
    case BPF_SUB: return a - b;
    case BPF_MUL: return a * b;
    case BPF_DIV:
        if (off == 1)
            return bpf_sdiv((int64_t)a, (int64_t)b);
        return b == 0 ? 0 : a / b;
    case BPF_OR: return a | b;
    case BPF_AND: return a & b;
    case BPF_LSH: return a << (b & 63);
    case BPF_RSH: return a >> (b & 63);
    case BPF_NEG: return 0 - a;
    case BPF_MOD:
        if (off == 1)
            return bpf_smod((int64_t)a, (int64_t)b);
        return b == 0 ? a : a % b;
    case BPF_XOR: return a ^ b;
    case BPF_MOV: return bpf_sign_extend(b, off == 0 ? 64 : (uint32_t)off);
    default: return (uint64_t)((int64_t)a >> (b & 63)); /* BPF_ARSH */
    }
}

/* The upper half of the result is zero. */
static inline uint64_t bpf_alu32(uint32_t op, int32_t off, uint64_t a64, uint64_t b64)
{
    uint32_t a = (uint32_t)a64, b = (uint32_t)b64;

    switch (op) {
    case BPF_DIV:
    case BPF_MOD:
        if (off == 1)
            return (uint32_t)bpf_alu64(op, 1, bpf_sign_extend(a, 32), bpf_sign_extend(b, 32));
        return (uint32_t)bpf_alu64(op, 0, a, b);
    case BPF_LSH: return (uint32_t)(a << (b & 31));
    case BPF_RSH: return a >> (b & 31);
    case BPF_ARSH: return (uint32_t)((int32_t)a >> (b & 31));
    case BPF_MOV: return (uint32_t)bpf_sign_extend(b, off == 0 ? 64 : (uint32_t)off);
    default: return (uint32_t)bpf_alu64(op, 0, a, b);
    }
}

/* BPF_END on a little-endian machine: `to_little` only truncates. */
static inline uint64_t bpf_swap(uint64_t value, int32_t bits, bool to_little)
{
    switch (bits) {
    case 16: return to_little ? (uint16_t)value : __builtin_bswap16((uint16_t)value);
    case 32: return to_little ? (uint32_t)value : __builtin_bswap32((uint32_t)value);
    default: return to_little ? value : __builtin_bswap64(value);
    }
}

/* Whether a branch of this operation is taken; `narrow`: class JMP32. */
static inline bool bpf_branch_taken(uint32_t op, bool narrow, uint64_t a, uint64_t b)
{
    int64_t sa = 0, sb = 0;

    if (narrow) {
        a = (uint32_t)a;
        b = (uint32_t)b;
        sa = (int32_t)(uint32_t)a;
        sb = (int32_t)(uint32_t)b;
    } else {
        sa = (int64_t)a;
        sb = (int64_t)b;
    }
    switch (op) {
    case BPF_JEQ: return a == b;
    case BPF_JNE: return a != b;
    case BPF_JGT: return a > b;
    case BPF_JGE: return a >= b;
    case BPF_JLT: return a < b;
    case BPF_JLE: return a <= b;
    case BPF_JSGT: return sa > sb;
    case BPF_JSGE: return sa >= sb;
    case BPF_JSLT: return sa < sb;
    case BPF_JSLE: return sa <= sb;
    default: return (a & b) != 0; /* BPF_JSET */
    }
}

/* What the atomic operation `imm` leaves in memory, given what was there (`old`), the source and r0. */
static inline uint64_t bpf_atomic_result(int32_t imm, uint64_t old, uint64_t source, uint64_t r0)
{
    if (imm == BPF_XCHG)
        return source;
    if (imm == BPF_CMPXCHG)
        return old == r0 ? source : old;
    switch ((uint32_t)imm & ~(uint32_t)BPF_FETCH) {
    case BPF_ADD: return old + source;
    case BPF_OR: return old | source;
    case BPF_AND: return old & source;
    default: return old ^ source;
    }
}

#endif
