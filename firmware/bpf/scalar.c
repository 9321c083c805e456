/* Scalars: known bits and ranges that bound one another. Restricted C, see transfer.h. */
#include "transfer.h"

#define U32_BITS 0xffffffffu

struct scalar scalar_range(uint64_t umin, uint64_t umax)
{
    struct scalar a = scalar_unknown();

    a.umin = umin;
    a.umax = umax;
    return scalar_sync(a);
}

bool scalar_within(struct scalar a, struct scalar b)
{
    return a.umin >= b.umin && a.umax <= b.umax && a.smin >= b.smin && a.smax <= b.smax &&
           a.u32_min >= b.u32_min && a.u32_max <= b.u32_max && a.s32_min >= b.s32_min &&
           a.s32_max <= b.s32_max && (a.bits.mask & ~b.bits.mask) == 0 &&
           (a.bits.value & ~b.bits.mask) == b.bits.value;
}

/* Bounds that the known bits imply. */
static struct scalar bound_by_bits(struct scalar a)
{
    uint64_t least = a.bits.value, most = a.bits.value | a.bits.mask;
    uint32_t least32 = (uint32_t)least, most32 = (uint32_t)most;

    a.umin = u64_max(a.umin, least);
    a.umax = u64_min(a.umax, most);
    a.u32_min = least32 > a.u32_min ? least32 : a.u32_min;
    a.u32_max = most32 < a.u32_max ? most32 : a.u32_max;
    if ((a.bits.mask >> 63) == 0) {
        a.smin = s64_max(a.smin, (int64_t)least);
        a.smax = s64_min(a.smax, (int64_t)most);
    }
    if (((a.bits.mask >> 31) & 1) == 0) {
        a.s32_min = (int32_t)s64_max(a.s32_min, (int32_t)least32);
        a.s32_max = (int32_t)s64_min(a.s32_max, (int32_t)most32);
    }
    return a;
}

/* A range that stays on one side of the sign change is the same range in the other reading. */
static struct scalar bound_by_sign(struct scalar a)
{
    if ((int64_t)a.umin <= (int64_t)a.umax) {
        a.smin = s64_max(a.smin, (int64_t)a.umin);
        a.smax = s64_min(a.smax, (int64_t)a.umax);
    }
    if ((uint64_t)a.smin <= (uint64_t)a.smax) {
        a.umin = u64_max(a.umin, (uint64_t)a.smin);
        a.umax = u64_min(a.umax, (uint64_t)a.smax);
    }
    if ((int32_t)a.u32_min <= (int32_t)a.u32_max) {
        a.s32_min = (int32_t)s64_max(a.s32_min, (int32_t)a.u32_min);
        a.s32_max = (int32_t)s64_min(a.s32_max, (int32_t)a.u32_max);
    }
    if ((uint32_t)a.s32_min <= (uint32_t)a.s32_max) {
        a.u32_min = (uint32_t)u64_max(a.u32_min, (uint32_t)a.s32_min);
        a.u32_max = (uint32_t)u64_min(a.u32_max, (uint32_t)a.s32_max);
    }
    return a;
}

/* Between the 64-bit value and its low half: where the upper half is one constant, each bounds the other. */
static struct scalar bound_by_half(struct scalar a)
{
    uint64_t upper = a.umin & ~(uint64_t)U32_BITS;

    if ((a.umin >> 32) == (a.umax >> 32)) {
        a.u32_min = (uint32_t)u64_max(a.u32_min, (uint32_t)a.umin);
        a.u32_max = (uint32_t)u64_min(a.u32_max, (uint32_t)a.umax);
        a.umin = u64_max(a.umin, upper | a.u32_min);
        a.umax = u64_min(a.umax, upper | a.u32_max);
    }
    if (a.smin >= INT32_MIN && a.smax <= INT32_MAX) {
        a.s32_min = (int32_t)s64_max(a.s32_min, a.smin);
        a.s32_max = (int32_t)s64_min(a.s32_max, a.smax);
        a.smin = s64_max(a.smin, a.s32_min);
        a.smax = s64_min(a.smax, a.s32_max);
    }
    return a;
}

/* Known bits that the bounds imply: the common prefix of each range. Bits that contradict make the scalar empty. */
static struct scalar bits_by_bounds(struct scalar a)
{
    struct tnum whole = tnum_range(a.umin, a.umax);
    struct tnum half = tnum_range(a.u32_min, a.u32_max);
    uint64_t mask = a.bits.mask & whole.mask & (half.mask | ~(uint64_t)U32_BITS);
    uint64_t value = a.bits.value | (whole.value & ~whole.mask) | (half.value & U32_BITS);
    uint64_t clash = ((a.bits.value ^ whole.value) & ~(a.bits.mask | whole.mask)) |
                     ((a.bits.value ^ half.value) & ~(a.bits.mask | half.mask) & U32_BITS) |
                     ((whole.value ^ half.value) & ~(whole.mask | half.mask) & U32_BITS);

    if (clash != 0) {
        a.umin = 1; /* empty */
        a.umax = 0;
        return a;
    }
    a.bits = tnum_of(value, mask);
    return a;
}

struct scalar scalar_sync(struct scalar a)
{
    a = bound_by_bits(a);
    a = bound_by_sign(a);
    a = bound_by_half(a);
    a = bound_by_sign(a);
    if (scalar_is_empty(a))
        return a;
    a = bits_by_bounds(a);
    if (scalar_is_empty(a))
        return a;
    return bound_by_bits(a);
}

static struct scalar meet(struct scalar a, struct scalar b)
{
    if (((a.bits.value ^ b.bits.value) & ~(a.bits.mask | b.bits.mask)) != 0) {
        a.umin = 1; /* empty */
        a.umax = 0;
        return a;
    }
    a.bits = tnum_of(a.bits.value | b.bits.value, a.bits.mask & b.bits.mask);
    a.umin = u64_max(a.umin, b.umin);
    a.umax = u64_min(a.umax, b.umax);
    a.smin = s64_max(a.smin, b.smin);
    a.smax = s64_min(a.smax, b.smax);
    a.u32_min = (uint32_t)u64_max(a.u32_min, b.u32_min);
    a.u32_max = (uint32_t)u64_min(a.u32_max, b.u32_max);
    a.s32_min = (int32_t)s64_max(a.s32_min, b.s32_min);
    a.s32_max = (int32_t)s64_min(a.s32_max, b.s32_max);
    return a;
}

struct scalar scalar_meet(struct scalar a, struct scalar b)
{
    a = meet(a, b);
    return scalar_is_empty(a) ? a : scalar_sync(a);
}

struct scalar scalar_zero_extend(struct scalar a, uint32_t bits)
{
    uint64_t keep = ((uint64_t)1 << bits) - 1;
    struct scalar r = scalar_unknown();

    r.bits = tnum_of(a.bits.value & keep, a.bits.mask & keep);
    if (a.umax <= keep) {
        r.umin = a.umin;
        r.umax = a.umax;
    }
    if (bits == 32) {
        r.u32_min = a.u32_min;
        r.u32_max = a.u32_max;
        r.s32_min = a.s32_min;
        r.s32_max = a.s32_max;
        r.umin = u64_max(r.umin, a.u32_min);
        r.umax = u64_min(r.umax, a.u32_max);
    }
    return scalar_sync(r);
}

struct scalar scalar_sign_extend(struct scalar a, uint32_t bits)
{
    int64_t least = -((int64_t)1 << (bits - 1)), most = ((int64_t)1 << (bits - 1)) - 1;
    uint64_t sign = (uint64_t)1 << (bits - 1), keep = (sign << 1) - 1;
    struct scalar r = scalar_unknown();

    r.smin = least;
    r.smax = most;
    if (a.smin >= least && a.smax <= most) {
        r.smin = a.smin;
        r.smax = a.smax;
    } else if (bits == 32) {
        r.smin = a.s32_min;
        r.smax = a.s32_max;
    }
    r.bits = tnum_of(a.bits.value & keep, a.bits.mask & keep);
    if ((a.bits.mask & sign) != 0)
        r.bits = tnum_of(r.bits.value, r.bits.mask | ~keep);
    else if ((a.bits.value & sign) != 0)
        r.bits = tnum_of(r.bits.value | ~keep, r.bits.mask);
    return scalar_sync(r);
}
