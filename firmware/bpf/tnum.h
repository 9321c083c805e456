/* Numbers of which some bits are known, and what arithmetic does to them. Restricted C, see transfer.h. */
#ifndef ASSAY_BPF_TNUM_H
#define ASSAY_BPF_TNUM_H

#include <stdint.h>

/* Known bits: x fits when (x & ~mask) == value. Bits of mask are unknown, and zero in value. */
struct tnum {
    uint64_t value, mask;
};

static inline uint64_t u64_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t u64_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline int64_t s64_min(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t s64_max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* All bits from the highest set one down. */
static inline uint64_t u64_smear(uint64_t x)
{
    x = x | (x >> 1);
    x = x | (x >> 2);
    x = x | (x >> 4);
    x = x | (x >> 8);
    x = x | (x >> 16);
    return x | (x >> 32);
}

static inline uint64_t u64_lowest_bit(uint64_t x)
{
    return x & (0 - x);
}

static inline struct tnum tnum_of(uint64_t value, uint64_t mask)
{
    struct tnum t;

    t.value = value & ~mask;
    t.mask = mask;
    return t;
}

/* Carries can change only where an operand is unknown, or where the sums of the extremes differ. */
static inline struct tnum tnum_add(struct tnum a, struct tnum b)
{
    uint64_t low = a.value + b.value;
    uint64_t high = low + (a.mask + b.mask);

    return tnum_of(low, (low ^ high) | a.mask | b.mask);
}

static inline struct tnum tnum_sub(struct tnum a, struct tnum b)
{
    uint64_t difference = a.value - b.value;
    uint64_t most = difference + a.mask;
    uint64_t least = difference - b.mask;

    return tnum_of(difference, (most ^ least) | a.mask | b.mask);
}

static inline struct tnum tnum_and(struct tnum a, struct tnum b)
{
    uint64_t can_be_set = (a.value | a.mask) & (b.value | b.mask);
    uint64_t set = a.value & b.value;

    return tnum_of(set, can_be_set & ~set);
}

static inline struct tnum tnum_or(struct tnum a, struct tnum b)
{
    uint64_t set = a.value | b.value;

    return tnum_of(set, (a.mask | b.mask) & ~set);
}

static inline struct tnum tnum_xor(struct tnum a, struct tnum b)
{
    return tnum_of(a.value ^ b.value, a.mask | b.mask);
}

/* The product's low bits are known as far as: a's known low bits + b's zero low bits, and the other way round.
 * Both counts as powers of two; a product that wraps to 0 says "all of them". */
static inline struct tnum tnum_mul(struct tnum a, struct tnum b)
{
    uint64_t known_a = u64_lowest_bit(a.mask) * u64_lowest_bit(b.value | b.mask);
    uint64_t known_b = u64_lowest_bit(b.mask) * u64_lowest_bit(a.value | a.mask);
    uint64_t known = (known_a - 1) & (known_b - 1);

    return tnum_of(a.value * b.value, ~known);
}

/* The least tnum that holds a whole range. */
static inline struct tnum tnum_range(uint64_t min, uint64_t max)
{
    return tnum_of(min, u64_smear(min ^ max));
}

#endif
