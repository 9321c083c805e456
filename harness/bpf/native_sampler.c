/* Samples the soundness claims of transfer.h in C, which checks millions of cases per second.
 *
 * A case: concrete values, scalars made to contain them, one operation. The claim: the result contains the concrete
 * result. native_sample_* return the number of the first case that violates it, or 0, and print nothing.
 */
#include "alu.h"
#include "native_api.h"
#include "transfer.h"

static uint64_t state;

static uint64_t next(void)
{
    uint64_t z = state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Values near the borders where arithmetic goes wrong, more often than chance would give them. */
static uint64_t value(void)
{
    static const uint64_t special[] = {0,          1,           2,         31,         32,
                                       63,         64,          0x7f,      0x80,       0xff,
                                       0x7fff,     0x8000,      0xffff,    0x7fffffff, 0x80000000,
                                       0xffffffff, 0x100000000, INT64_MAX, 1ull << 63, UINT64_MAX};
    uint64_t kind = next() % 8;

    if (kind < 3)
        return special[next() % (sizeof(special) / sizeof(special[0]))] + next() % 5 - 2;
    if (kind < 5)
        return next() >> (next() % 64);
    if (kind == 5)
        return 0 - (next() >> (next() % 64));
    return kind == 6 ? next() % 16 : next();
}

static bool contains(struct scalar s, uint64_t x)
{
    uint32_t low = (uint32_t)x;

    return (x & ~s.bits.mask) == s.bits.value && x >= s.umin && x <= s.umax && (int64_t)x >= s.smin &&
           (int64_t)x <= s.smax && low >= s.u32_min && low <= s.u32_max && (int32_t)low >= s.s32_min &&
           (int32_t)low <= s.s32_max;
}

/* A scalar that contains x: each part, by chance, tight, loose or unknown. */
static struct scalar around(uint64_t x)
{
    struct scalar s = scalar_unknown();
    uint64_t kinds = next(), slack = next() >> (next() % 64);
    uint32_t low = (uint32_t)x;

    if (kinds % 4 == 0)
        return scalar_const(x);
    if (kinds >> 2 & 1) {
        s.bits.mask = next() & next() >> (next() % 64);
        s.bits.value = x & ~s.bits.mask;
    }
    if (kinds >> 3 & 1) {
        s.umin = x < slack ? 0 : x - slack;
        s.umax = x + slack / 2 < x ? UINT64_MAX : x + slack / 2;
    }
    if (kinds >> 4 & 1) {
        int64_t away = (int64_t)(slack >> 1);

        s.smin = (int64_t)x < INT64_MIN + away ? INT64_MIN : (int64_t)x - away;
        s.smax = (int64_t)x > INT64_MAX - away ? INT64_MAX : (int64_t)x + away;
    }
    if (kinds >> 5 & 1) {
        s.u32_min = low < (uint32_t)slack ? 0 : low - (uint32_t)slack;
        s.u32_max = low + (uint32_t)slack / 2 < low ? UINT32_MAX : low + (uint32_t)slack / 2;
    }
    if (kinds >> 6 & 1) {
        int64_t away = (uint32_t)slack >> 1, middle = (int32_t)low;

        s.s32_min = (int32_t)(middle - away < INT32_MIN ? INT32_MIN : middle - away);
        s.s32_max = (int32_t)(middle + away > INT32_MAX ? INT32_MAX : middle + away);
    }
    return scalar_sync(s);
}

uint64_t native_sample_alu(uint64_t seed, uint64_t cases, uint32_t op, int32_t off, bool narrow)
{
    state = seed;
    for (uint64_t i = 1; i <= cases; i++) {
        uint64_t a = value(), b = value();
        struct scalar s = around(a), t = around(b);

        if (!contains(s, a) || !contains(t, b))
            return i;
        struct scalar r = narrow ? transfer_alu32(op, off, s, t) : transfer_alu64(op, off, s, t);
        uint64_t result = narrow ? bpf_alu32(op, off, a, b) : bpf_alu64(op, off, a, b);
        if (!contains(r, result) || scalar_is_empty(r))
            return i;
    }
    return 0;
}

uint64_t native_sample_end(uint64_t seed, uint64_t cases, uint32_t bits, bool swap)
{
    state = seed;
    for (uint64_t i = 1; i <= cases; i++) {
        uint64_t a = value();

        if (!contains(transfer_end(around(a), bits, swap), bpf_swap(a, (int32_t)bits, !swap)))
            return i;
    }
    return 0;
}

uint64_t native_sample_branch(uint64_t seed, uint64_t cases, uint32_t op, bool narrow)
{
    state = seed;
    for (uint64_t i = 1; i <= cases; i++) {
        uint64_t a = value(), b = next() % 4 == 0 ? a : value();
        struct scalar s = around(a), t = around(b);
        struct scalar_pair pair = transfer_branch(op, narrow, bpf_branch_taken(op, narrow, a, b), s, t);

        if (!contains(pair.dst, a) || !contains(pair.src, b) || scalar_is_empty(pair.dst) ||
            scalar_is_empty(pair.src)) {
            return i;
        }
    }
    return 0;
}

/* Meeting two scalars keeps what is in both; being within keeps every member. */
uint64_t native_sample_meet(uint64_t seed, uint64_t cases)
{
    state = seed;
    for (uint64_t i = 1; i <= cases; i++) {
        uint64_t a = value();
        struct scalar s = around(a), t = around(a), u = around(value());

        if (!contains(scalar_meet(s, t), a) || (scalar_within(s, u) && !contains(u, a)))
            return i;
    }
    return 0;
}
