/* Transfer functions of the verifier: arithmetic on tnums and ranges. Restricted C, see transfer.h. */
#include "transfer.h"

#include "insn.h"

#define U32_BITS 0xffffffffu

static uint64_t min_u(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max_u(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static int64_t min_s(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t max_s(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* All bits from the highest set one down. */
static uint64_t smear(uint64_t x)
{
    x = x | (x >> 1);
    x = x | (x >> 2);
    x = x | (x >> 4);
    x = x | (x >> 8);
    x = x | (x >> 16);
    return x | (x >> 32);
}

static uint64_t lowest_bit(uint64_t x)
{
    return x & (0 - x);
}

/* ---- tnums ------------------------------------------------------------------------------------------------------ */

static struct tnum tnum_of(uint64_t value, uint64_t mask)
{
    struct tnum t;

    t.value = value & ~mask;
    t.mask = mask;
    return t;
}

/* Carries can change only where an operand is unknown, or where the sums of the extremes differ. */
static struct tnum tnum_add(struct tnum a, struct tnum b)
{
    uint64_t low = a.value + b.value;
    uint64_t high = low + (a.mask + b.mask);

    return tnum_of(low, (low ^ high) | a.mask | b.mask);
}

static struct tnum tnum_sub(struct tnum a, struct tnum b)
{
    uint64_t difference = a.value - b.value;
    uint64_t most = difference + a.mask;
    uint64_t least = difference - b.mask;

    return tnum_of(difference, (most ^ least) | a.mask | b.mask);
}

static struct tnum tnum_and(struct tnum a, struct tnum b)
{
    uint64_t can_be_set = (a.value | a.mask) & (b.value | b.mask);
    uint64_t set = a.value & b.value;

    return tnum_of(set, can_be_set & ~set);
}

static struct tnum tnum_or(struct tnum a, struct tnum b)
{
    uint64_t set = a.value | b.value;

    return tnum_of(set, (a.mask | b.mask) & ~set);
}

static struct tnum tnum_xor(struct tnum a, struct tnum b)
{
    return tnum_of(a.value ^ b.value, a.mask | b.mask);
}

/* The product's low bits are known as far as: a's known low bits + b's zero low bits, and the other way round.
 * Both counts as powers of two; a product that wraps to 0 says "all of them". */
static struct tnum tnum_mul(struct tnum a, struct tnum b)
{
    uint64_t known_a = lowest_bit(a.mask) * lowest_bit(b.value | b.mask);
    uint64_t known_b = lowest_bit(b.mask) * lowest_bit(a.value | a.mask);
    uint64_t known = (known_a - 1) & (known_b - 1);

    return tnum_of(a.value * b.value, ~known);
}

/* The least tnum that holds a whole range. */
static struct tnum tnum_range(uint64_t min, uint64_t max)
{
    return tnum_of(min, smear(min ^ max));
}

/* ---- scalars ---------------------------------------------------------------------------------------------------- */

struct scalar scalar_const(uint64_t value)
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

struct scalar scalar_unknown(void)
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

struct scalar scalar_range(uint64_t umin, uint64_t umax)
{
    struct scalar a = scalar_unknown();

    a.umin = umin;
    a.umax = umax;
    return scalar_sync(a);
}

bool scalar_is_const(struct scalar a)
{
    return a.bits.mask == 0;
}

bool scalar_is_empty(struct scalar a)
{
    return a.umin > a.umax || a.smin > a.smax || a.u32_min > a.u32_max || a.s32_min > a.s32_max ||
           (a.bits.value & a.bits.mask) != 0;
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

    a.umin = max_u(a.umin, least);
    a.umax = min_u(a.umax, most);
    a.u32_min = least32 > a.u32_min ? least32 : a.u32_min;
    a.u32_max = most32 < a.u32_max ? most32 : a.u32_max;
    if ((a.bits.mask >> 63) == 0) {
        a.smin = max_s(a.smin, (int64_t)least);
        a.smax = min_s(a.smax, (int64_t)most);
    }
    if (((a.bits.mask >> 31) & 1) == 0) {
        a.s32_min = (int32_t)max_s(a.s32_min, (int32_t)least32);
        a.s32_max = (int32_t)min_s(a.s32_max, (int32_t)most32);
    }
    return a;
}

/* A range that stays on one side of the sign change is the same range in the other reading. */
static struct scalar bound_by_sign(struct scalar a)
{
    if ((int64_t)a.umin <= (int64_t)a.umax) {
        a.smin = max_s(a.smin, (int64_t)a.umin);
        a.smax = min_s(a.smax, (int64_t)a.umax);
    }
    if ((uint64_t)a.smin <= (uint64_t)a.smax) {
        a.umin = max_u(a.umin, (uint64_t)a.smin);
        a.umax = min_u(a.umax, (uint64_t)a.smax);
    }
    if ((int32_t)a.u32_min <= (int32_t)a.u32_max) {
        a.s32_min = (int32_t)max_s(a.s32_min, (int32_t)a.u32_min);
        a.s32_max = (int32_t)min_s(a.s32_max, (int32_t)a.u32_max);
    }
    if ((uint32_t)a.s32_min <= (uint32_t)a.s32_max) {
        a.u32_min = (uint32_t)max_u(a.u32_min, (uint32_t)a.s32_min);
        a.u32_max = (uint32_t)min_u(a.u32_max, (uint32_t)a.s32_max);
    }
    return a;
}

/* Between the 64-bit value and its low half: where the upper half is one constant, each bounds the other. */
static struct scalar bound_by_half(struct scalar a)
{
    uint64_t upper = a.umin & ~(uint64_t)U32_BITS;

    if ((a.umin >> 32) == (a.umax >> 32)) {
        a.u32_min = (uint32_t)max_u(a.u32_min, (uint32_t)a.umin);
        a.u32_max = (uint32_t)min_u(a.u32_max, (uint32_t)a.umax);
        a.umin = max_u(a.umin, upper | a.u32_min);
        a.umax = min_u(a.umax, upper | a.u32_max);
    }
    if (a.smin >= INT32_MIN && a.smax <= INT32_MAX) {
        a.s32_min = (int32_t)max_s(a.s32_min, a.smin);
        a.s32_max = (int32_t)min_s(a.s32_max, a.smax);
        a.smin = max_s(a.smin, a.s32_min);
        a.smax = min_s(a.smax, a.s32_max);
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
    a.umin = max_u(a.umin, b.umin);
    a.umax = min_u(a.umax, b.umax);
    a.smin = max_s(a.smin, b.smin);
    a.smax = min_s(a.smax, b.smax);
    a.u32_min = (uint32_t)max_u(a.u32_min, b.u32_min);
    a.u32_max = (uint32_t)min_u(a.u32_max, b.u32_max);
    a.s32_min = (int32_t)max_s(a.s32_min, b.s32_min);
    a.s32_max = (int32_t)min_s(a.s32_max, b.s32_max);
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
        r.umin = max_u(r.umin, a.u32_min);
        r.umax = min_u(r.umax, a.u32_max);
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

/* ---- arithmetic on 64 bits -------------------------------------------------------------------------------------- */

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

        r.smin = min_s(min_s(p, q), min_s(s, t));
        r.smax = max_s(max_s(p, q), max_s(s, t));
    }
    return r;
}

static struct scalar scalar_and(struct scalar a, struct scalar b)
{
    struct scalar r = scalar_unknown();

    r.bits = tnum_and(a.bits, b.bits);
    r.umax = min_u(a.umax, b.umax);
    return r;
}

static struct scalar scalar_or(struct scalar a, struct scalar b)
{
    struct scalar r = scalar_unknown();

    r.bits = tnum_or(a.bits, b.bits);
    r.umin = max_u(a.umin, b.umin);
    r.umax = smear(a.umax | b.umax);
    return r;
}

static struct scalar scalar_xor(struct scalar a, struct scalar b)
{
    struct scalar r = scalar_unknown();

    r.bits = tnum_xor(a.bits, b.bits);
    r.umax = smear(a.umax | b.umax);
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
        r.bits = tnum_of(0, ~((lowest_bit(a.bits.value | a.bits.mask) << b.umin) - 1));
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
        r.umax = min_u(a.umax, b.umax - 1);
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
    r.smin = min_s(a.smin, 0);
    r.smax = max_s(a.smax, 0);
    if (b.smin == b.smax && b.smin != INT64_MIN) {
        int64_t most = (b.smin < 0 ? -b.smin : b.smin) - 1;

        r.smin = max_s(r.smin, -most);
        r.smax = min_s(r.smax, most);
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
