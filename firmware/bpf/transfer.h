/* The verifier's abstract values and what arithmetic and branches do to them.
 *
 * A scalar stands for every 64-bit value x with: x in the tnum, umin <= x <= umax, smin <= (s64)x <= smax, and the
 * low half in [u32_min, u32_max] and [s32_min, s32_max]. It is empty when no value fits; an operation on an empty
 * scalar may return anything.
 *
 * Soundness, which the tests sample and a proof can decide: for every concrete a in A and b in B, op(a, b) is in
 * transfer(A, B); for every concrete pair on which a branch goes one way, both values are in the pair refined for
 * that way. tnum.h, scalar.c, transfer.c and transfer_branch.c keep to a restricted C so that these very files can be
 * translated: no loops, no recursion, no pointers, values in and values out.
 */
#ifndef ASSAY_BPF_TRANSFER_H
#define ASSAY_BPF_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>

#include "tnum.h"

struct scalar {
    struct tnum bits;
    uint64_t umin, umax;
    int64_t smin, smax;
    uint32_t u32_min, u32_max;
    int32_t s32_min, s32_max;
};

struct scalar_pair {
    struct scalar dst, src;
};

static inline struct scalar scalar_const(uint64_t value)
{
    struct scalar a;

    a.bits = tnum_of(value, 0);
    a.umin = value;
    a.umax = value;
    a.smin = (int64_t)value;
    a.smax = (int64_t)value;
    a.u32_min = (uint32_t)value;
    a.u32_max = (uint32_t)value;
    a.s32_min = (int32_t)(uint32_t)value;
    a.s32_max = (int32_t)(uint32_t)value;
    return a;
}

static inline struct scalar scalar_unknown(void)
{
    struct scalar a;

    a.bits = tnum_of(0, UINT64_MAX);
    a.umin = 0;
    a.umax = UINT64_MAX;
    a.smin = INT64_MIN;
    a.smax = INT64_MAX;
    a.u32_min = 0;
    a.u32_max = UINT32_MAX;
    a.s32_min = INT32_MIN;
    a.s32_max = INT32_MAX;
    return a;
}

static inline bool scalar_is_const(struct scalar a)
{
    return a.bits.mask == 0;
}

static inline bool scalar_is_empty(struct scalar a)
{
    return a.umin > a.umax || a.smin > a.smax || a.u32_min > a.u32_max || a.s32_min > a.s32_max ||
           (a.bits.value & a.bits.mask) != 0;
}

struct scalar scalar_range(uint64_t umin, uint64_t umax);
/* Every value of `a` is one of `b`, decided by the parts alone. */
bool scalar_within(struct scalar a, struct scalar b);
/* Makes the parts agree: each bounds the others. */
struct scalar scalar_sync(struct scalar a);
/* What is in both. */
struct scalar scalar_meet(struct scalar a, struct scalar b);
/* The low `bits` (8, 16, 32), zero- or sign-extended to 64. */
struct scalar scalar_zero_extend(struct scalar a, uint32_t bits);
struct scalar scalar_sign_extend(struct scalar a, uint32_t bits);

/* An arithmetic operation by its RFC 9669 code (BPF_OP bits) and offset; not BPF_END. */
struct scalar transfer_alu64(uint32_t op, int32_t off, struct scalar a, struct scalar b);
struct scalar transfer_alu32(uint32_t op, int32_t off, struct scalar a, struct scalar b);
/* BPF_END: `bits` of 16, 32, 64; `swap`: the bytes change places. */
struct scalar transfer_end(struct scalar a, uint32_t bits, bool swap);

/* Operands after a branch (BPF_OP bits) that was taken, or not. A pair with an empty part: it cannot go that way. */
struct scalar_pair transfer_branch(uint32_t op, bool narrow, bool taken, struct scalar a, struct scalar b);

#endif
