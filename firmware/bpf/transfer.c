/* What arithmetic does to scalars. Restricted C, see transfer.h. */
#include "transfer.h"

#include "insn.h"

#define U32_BITS 0xffffffffu

static struct scalar scalar_add(struct scalar a, struct scalar b)
{
    struct scalar r = scalar_unknown();
    uint64_t low = a.umin + b.umin, high = a.umax + b.umax;
    int64_t slow = (int64_t)((uint64_t)a.smin + (uint64_t)b.smin);
    int64_t shigh = (int64_t)((uint64_t)a.smax + (uint64_t)b.smax);

    r.bits = tnum_add(a.bits, b.bits);
    if ((low < a.umin) == (high < a.umax)) { /* both ends wrap, or none */
        r.umin = low;
        r.umax = high;
    }
    if ((b.smin >= 0) == (slow >= a.smin) && (b.smax >= 0) == (shigh >= a.smax)) {
        r.smin = slow;
        r.smax = shigh;
    }
    return r;
}

static struct scalar scalar_sub(struct scalar a, struct scalar b)
{
    struct scalar r = scalar_unknown();
    int64_t slow = (int64_t)((uint64_t)a.smin - (uint64_t)b.smax);
    int64_t shigh = (int64_t)((uint64_t)a.smax - (uint64_t)b.smin);

    r.bits = tnum_sub(a.bits, b.bits);
    if ((a.umin < b.umax) == (a.umax < b.umin)) { /* both ends borrow, or none */
        r.umin = a.umin - b.umax;
        r.umax = a.umax - b.umin;
    }
    if ((b.smax >= 0) == (slow <= a.smin) && (b.smin >= 0) == (shigh <= a.smax)) {
        r.smin = slow;
        r.smax = shigh;
    }
    return r;
}

static struct scalar scalar_mul(struct scalar a, struct scalar b)
{
    struct scalar r = scalar_unknown();

    r.bits = tnum_mul(a.bits, b.bits);
    if (a.umax <= U32_BITS && b.umax <= U32_BITS) {
        r.umin = a.umin * b.umin;
        r.umax = a.umax * b.umax;
    }
    if (a.smin >= INT32_MIN && a.smax <= INT32_MAX && b.smin >= INT32_MIN && b.smax <= INT32_MAX) {
        int64_t p = a.smin * b.smin, q = a.smin * b.smax, s = a.smax * b.smin, t = a.smax * b.smax;

        r.smin = s64_min(s64_min(p, q), s64_min(s, t));
        r.smax = s64_max(s64_max(p, q), s64_max(s, t));
    }
    return r;
}

static struct scalar scalar_and(struct scalar a, struct scalar b)
{
    struct scalar r = scalar_unknown();

    r.bits = tnum_and(a.bits, b.bits);
    r.umax = u64_min(a.umax, b.umax);
    return r;
}

static struct scalar scalar_or(struct scalar a, struct scalar b)
{
    struct scalar r = scalar_unknown();

    r.bits = tnum_or(a.bits, b.bits);
    r.umin = u64_max(a.umin, b.umin);
    r.umax = u64_smear(a.umax | b.umax);
    return r;
}

static struct scalar scalar_xor(struct scalar a, struct scalar b)
{
    struct scalar r = scalar_unknown();

    r.bits = tnum_xor(a.bits, b.bits);
    r.umax = u64_smear(a.umax | b.umax);
    return r;
}

/* Shift amounts are masked by the instruction; `limit` is 63 or 31. */
static struct scalar shift_amount(struct scalar b, uint64_t limit)
{
    if (b.bits.mask == 0)
        return scalar_const(b.bits.value & limit);
    return b.umax <= limit ? b : scalar_range(0, limit);
}

static struct scalar scalar_lsh(struct scalar a, struct scalar b)
{
    struct scalar r = scalar_unknown();

    if (b.umin == b.umax)
        r.bits = tnum_of(a.bits.value << b.umin, a.bits.mask << b.umin);
    else /* at least umin zeros come in */
        r.bits = tnum_of(0, ~((u64_lowest_bit(a.bits.value | a.bits.mask) << b.umin) - 1));
    if (a.umax <= (UINT64_MAX >> b.umax)) { /* nothing is shifted out */
        r.umin = a.umin << b.umin;
        r.umax = a.umax << b.umax;
    }
    return r;
}

static struct scalar scalar_rsh(struct scalar a, struct scalar b)
{
    struct scalar r = scalar_unknown();

    if (b.umin == b.umax)
        r.bits = tnum_of(a.bits.value >> b.umin, a.bits.mask >> b.umin);
    r.umin = a.umin >> b.umax;
    r.umax = a.umax >> b.umin;
    return r;
}

static struct scalar scalar_arsh(struct scalar a, struct scalar b)
{
    struct scalar r = scalar_unknown();
    uint64_t mask = 0, value = 0;

    if (b.umin == b.umax) { /* an unknown sign bit spreads in mask, a known one in value */
        mask = (uint64_t)((int64_t)a.bits.mask >> b.umin);
        value = (uint64_t)((int64_t)a.bits.value >> b.umin);
        r.bits = tnum_of(value, mask);
    }
    r.smin = a.smin < 0 ? a.smin >> b.umin : a.smin >> b.umax;
    r.smax = a.smax < 0 ? a.smax >> b.umax : a.smax >> b.umin;
    return r;
}

/* Division by zero gives 0. */
static struct scalar scalar_div(struct scalar a, struct scalar b)
{
    struct scalar r = scalar_unknown();

    r.umax = a.umax;
    if (b.umin > 0) {
        r.umin = a.umin / b.umax;
        r.umax = a.umax / b.umin;
    }
    return r;
}

/* Modulo zero leaves the dividend. */
static struct scalar scalar_mod(struct scalar a, struct scalar b)
{
    struct scalar r = scalar_unknown();

    if (b.umax == 0 || a.umax < b.umin)
        return a;
    r.umax = a.umax;
    if (b.umin > 0)
        r.umax = u64_min(a.umax, b.umax - 1);
    return r;
}

/* By a constant; INT_MIN / -1 wraps to INT_MIN. */
static struct scalar scalar_sdiv(struct scalar a, struct scalar b)
{
    struct scalar r = scalar_unknown();
    int64_t c = b.smin;

    if (b.smin != b.smax)
        return r;
    if (c == 0)
        return scalar_const(0);
    if (c == -1) {
        if (a.smin != INT64_MIN) {
            r.smin = -a.smax;
            r.smax = -a.smin;
        }
        return r;
    }
    r.smin = c > 0 ? a.smin / c : a.smax / c;
    r.smax = c > 0 ? a.smax / c : a.smin / c;
    return r;
}

/* The remainder has the dividend's sign and is no further from zero than it; nearer than a constant divisor. */
static struct scalar scalar_smod(struct scalar a, struct scalar b)
{
    struct scalar r = scalar_unknown();

    if (b.smin == 0 && b.smax == 0)
        return a;
    r.smin = s64_min(a.smin, 0);
    r.smax = s64_max(a.smax, 0);
    if (b.smin == b.smax && b.smin != INT64_MIN) {
        int64_t most = (b.smin < 0 ? -b.smin : b.smin) - 1;

        r.smin = s64_max(r.smin, -most);
        r.smax = s64_min(r.smax, most);
    }
    return r;
}

static struct scalar arithmetic(uint32_t op, int32_t off, struct scalar a, struct scalar b)
{
    switch (op) {
    case BPF_ADD: return scalar_add(a, b);
    case BPF_SUB: return scalar_sub(a, b);
    case BPF_MUL: return scalar_mul(a, b);
    case BPF_DIV: return off == 1 ? scalar_sdiv(a, b) : scalar_div(a, b);
    case BPF_OR: return scalar_or(a, b);
    case BPF_AND: return scalar_and(a, b);
    case BPF_LSH: return scalar_lsh(a, b);
    case BPF_RSH: return scalar_rsh(a, b);
    case BPF_NEG: return scalar_sub(scalar_const(0), a);
    case BPF_MOD: return off == 1 ? scalar_smod(a, b) : scalar_mod(a, b);
    case BPF_XOR: return scalar_xor(a, b);
    default: return scalar_arsh(a, b);
    }
}

struct scalar transfer_alu64(uint32_t op, int32_t off, struct scalar a, struct scalar b)
{
    if (op == BPF_MOV)
        return off == 0 ? b : scalar_sign_extend(b, (uint32_t)off);
    if (op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH)
        b = shift_amount(b, 63);
    return scalar_sync(arithmetic(op, off, a, b));
}

/* An operation on 32 bits is the one on 64 with its operands extended, cut to 32 again. Where only the low halves
 * matter (add, sub, mul, neg, and, or, xor, lsh), zero- and sign-extended operands give the same low half, so what
 * is known from either is known. */
struct scalar transfer_alu32(uint32_t op, int32_t off, struct scalar a, struct scalar b)
{
    bool is_signed = op == BPF_ARSH || ((op == BPF_DIV || op == BPF_MOD) && off == 1);
    bool is_unsigned = op == BPF_RSH || ((op == BPF_DIV || op == BPF_MOD) && off == 0);
    bool is_shift = op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH;
    struct scalar r = scalar_unknown(), s = scalar_unknown();

    if (op == BPF_MOV)
        return scalar_zero_extend(off == 0 ? b : scalar_sign_extend(b, (uint32_t)off), 32);
    b = scalar_zero_extend(b, 32);
    if (is_shift)
        b = shift_amount(b, 31);
    if (!is_signed)
        r = scalar_zero_extend(scalar_sync(arithmetic(op, off, scalar_zero_extend(a, 32), b)), 32);
    if (is_unsigned || (!is_signed && a.s32_min >= 0 && (is_shift || b.s32_min >= 0)))
        return r;
    if (!is_shift)
        b = scalar_sign_extend(b, 32);
    s = scalar_zero_extend(scalar_sync(arithmetic(op, off, scalar_sign_extend(a, 32), b)), 32);
    return is_signed ? s : scalar_meet(r, s);
}

static uint64_t swap_bytes(uint64_t x, uint32_t bits)
{
    x = ((x & 0x00ff00ff00ff00ffu) << 8) | ((x >> 8) & 0x00ff00ff00ff00ffu);
    x = ((x & 0x0000ffff0000ffffu) << 16) | ((x >> 16) & 0x0000ffff0000ffffu);
    x = (x << 32) | (x >> 32);
    return x >> (64 - bits);
}

struct scalar transfer_end(struct scalar a, uint32_t bits, bool swap)
{
    struct scalar r = scalar_unknown();

    if (!swap)
        return bits == 64 ? a : scalar_zero_extend(a, bits);
    r.bits = tnum_of(swap_bytes(a.bits.value, bits), swap_bytes(a.bits.mask, bits));
    return scalar_sync(r);
}
