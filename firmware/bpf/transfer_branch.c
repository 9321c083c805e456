/* What a branch outcome implies for its operands. Restricted C, see transfer.h. */
#include "transfer.h"

#include "insn.h"

#define U32_BITS 0xffffffffu

/* Relations between two values; a branch that is not taken is the branch of the opposite relation. */
enum relation { EQ, NE, LT, LE, GT, GE, SLT, SLE, SGT, SGE, COMMON, DISJOINT };

static enum relation relation_of(uint32_t op, bool taken)
{
    switch (op) {
    case BPF_JEQ: return taken ? EQ : NE;
    case BPF_JNE: return taken ? NE : EQ;
    case BPF_JLT: return taken ? LT : GE;
    case BPF_JLE: return taken ? LE : GT;
    case BPF_JGT: return taken ? GT : LE;
    case BPF_JGE: return taken ? GE : LT;
    case BPF_JSLT: return taken ? SLT : SGE;
    case BPF_JSLE: return taken ? SLE : SGT;
    case BPF_JSGT: return taken ? SGT : SLE;
    case BPF_JSGE: return taken ? SGE : SLT;
    default: return taken ? COMMON : DISJOINT; /* BPF_JSET */
    }
}

static struct scalar emptied(struct scalar a)
{
    a.umin = 1;
    a.umax = 0;
    return a;
}

/* a < b, and the other orders: each end bounds the other operand's. */

static struct scalar_pair less_u64(struct scalar a, struct scalar b, uint64_t gap)
{
    struct scalar_pair r;

    r.dst = a;
    r.src = b;
    if (b.umax < gap || a.umin > UINT64_MAX - gap) {
        r.dst = emptied(a);
        return r;
    }
    r.dst.umax = b.umax - gap < a.umax ? b.umax - gap : a.umax;
    r.src.umin = a.umin + gap > b.umin ? a.umin + gap : b.umin;
    return r;
}

static struct scalar_pair less_s64(struct scalar a, struct scalar b, int64_t gap)
{
    struct scalar_pair r;

    r.dst = a;
    r.src = b;
    if (b.smax < INT64_MIN + gap || a.smin > INT64_MAX - gap) {
        r.dst = emptied(a);
        return r;
    }
    r.dst.smax = b.smax - gap < a.smax ? b.smax - gap : a.smax;
    r.src.smin = a.smin + gap > b.smin ? a.smin + gap : b.smin;
    return r;
}

static struct scalar_pair less_u32(struct scalar a, struct scalar b, uint32_t gap)
{
    struct scalar_pair r;

    r.dst = a;
    r.src = b;
    if (b.u32_max < gap || a.u32_min > UINT32_MAX - gap) {
        r.dst = emptied(a);
        return r;
    }
    r.dst.u32_max = b.u32_max - gap < a.u32_max ? b.u32_max - gap : a.u32_max;
    r.src.u32_min = a.u32_min + gap > b.u32_min ? a.u32_min + gap : b.u32_min;
    return r;
}

static struct scalar_pair less_s32(struct scalar a, struct scalar b, int32_t gap)
{
    struct scalar_pair r;

    r.dst = a;
    r.src = b;
    if (b.s32_max < INT32_MIN + gap || a.s32_min > INT32_MAX - gap) {
        r.dst = emptied(a);
        return r;
    }
    r.dst.s32_max = b.s32_max - gap < a.s32_max ? b.s32_max - gap : a.s32_max;
    r.src.s32_min = a.s32_min + gap > b.s32_min ? a.s32_min + gap : b.s32_min;
    return r;
}

static struct scalar_pair less_u(bool narrow, struct scalar a, struct scalar b, uint32_t gap)
{
    return narrow ? less_u32(a, b, gap) : less_u64(a, b, gap);
}

static struct scalar_pair less_s(bool narrow, struct scalar a, struct scalar b, int32_t gap)
{
    return narrow ? less_s32(a, b, gap) : less_s64(a, b, gap);
}

static struct scalar_pair swapped(struct scalar_pair pair)
{
    struct scalar_pair r;

    r.dst = pair.src;
    r.src = pair.dst;
    return r;
}

/* `a` knowing that its low half is that of `b`. */
static struct scalar meet_low(struct scalar a, struct scalar b)
{
    uint64_t known = ~b.bits.mask & U32_BITS;

    if (((a.bits.value ^ b.bits.value) & ~a.bits.mask & known) != 0)
        return emptied(a);
    a.bits.value = a.bits.value | (b.bits.value & known);
    a.bits.mask = a.bits.mask & ~known;
    a.u32_min = b.u32_min > a.u32_min ? b.u32_min : a.u32_min;
    a.u32_max = b.u32_max < a.u32_max ? b.u32_max : a.u32_max;
    a.s32_min = b.s32_min > a.s32_min ? b.s32_min : a.s32_min;
    a.s32_max = b.s32_max < a.s32_max ? b.s32_max : a.s32_max;
    return a;
}

/* `a` knowing that it is not `b`: only a constant at an end of a range can be cut off. */
static struct scalar exclude(struct scalar a, struct scalar b)
{
    if (b.umin != b.umax)
        return a;
    if (a.umin == a.umax)
        return a.umin == b.umin ? emptied(a) : a;
    a.umin = a.umin == b.umin ? a.umin + 1 : a.umin;
    a.umax = a.umax == b.umin ? a.umax - 1 : a.umax;
    if (a.smin != a.smax) {
        a.smin = a.smin == b.smin ? a.smin + 1 : a.smin;
        a.smax = a.smax == b.smin ? a.smax - 1 : a.smax;
    }
    return a;
}

static struct scalar exclude_low(struct scalar a, struct scalar b)
{
    if (b.u32_min != b.u32_max)
        return a;
    if (a.u32_min == a.u32_max)
        return a.u32_min == b.u32_min ? emptied(a) : a;
    a.u32_min = a.u32_min == b.u32_min ? a.u32_min + 1 : a.u32_min;
    a.u32_max = a.u32_max == b.u32_min ? a.u32_max - 1 : a.u32_max;
    if (a.s32_min != a.s32_max) {
        a.s32_min = a.s32_min == (int32_t)b.u32_min ? a.s32_min + 1 : a.s32_min;
        a.s32_max = a.s32_max == (int32_t)b.u32_min ? a.s32_max - 1 : a.s32_max;
    }
    return a;
}

/* `a` knowing that it shares a set bit with `b` within `field`. */
static struct scalar share_bit(struct scalar a, struct scalar b, uint64_t field)
{
    uint64_t can = (b.bits.value | b.bits.mask) & field;

    if (((a.bits.value | a.bits.mask) & can) == 0)
        return emptied(a);
    if ((can & (can - 1)) == 0) { /* one bit only: that is the one */
        a.bits.value = a.bits.value | can;
        a.bits.mask = a.bits.mask & ~can;
    }
    return a;
}

/* `a` knowing that it shares none. */
static struct scalar share_none(struct scalar a, struct scalar b, uint64_t field)
{
    uint64_t zero = b.bits.value & field;

    if ((a.bits.value & zero) != 0)
        return emptied(a);
    a.bits.mask = a.bits.mask & ~zero;
    return a;
}

struct scalar_pair transfer_branch(uint32_t op, bool narrow, bool taken, struct scalar a, struct scalar b)
{
    uint64_t field = narrow ? U32_BITS : UINT64_MAX;
    struct scalar_pair r;

    r.dst = a;
    r.src = b;
    switch (relation_of(op, taken)) {
    case EQ:
        r.dst = narrow ? meet_low(a, b) : scalar_meet(a, b);
        r.src = narrow ? meet_low(b, a) : r.dst;
        break;
    case NE:
        r.dst = narrow ? exclude_low(a, b) : exclude(a, b);
        r.src = narrow ? exclude_low(b, a) : exclude(b, a);
        break;
    case LT: r = less_u(narrow, a, b, 1); break;
    case LE: r = less_u(narrow, a, b, 0); break;
    case GT: r = swapped(less_u(narrow, b, a, 1)); break;
    case GE: r = swapped(less_u(narrow, b, a, 0)); break;
    case SLT: r = less_s(narrow, a, b, 1); break;
    case SLE: r = less_s(narrow, a, b, 0); break;
    case SGT: r = swapped(less_s(narrow, b, a, 1)); break;
    case SGE: r = swapped(less_s(narrow, b, a, 0)); break;
    case COMMON:
        r.dst = share_bit(a, b, field);
        r.src = share_bit(b, a, field);
        break;
    default:
        r.dst = share_none(a, b, field);
        r.src = share_none(b, a, field);
        break;
    }
    if (!scalar_is_empty(r.dst))
        r.dst = scalar_sync(r.dst);
    if (!scalar_is_empty(r.src))
        r.src = scalar_sync(r.src);
    return r;
}
