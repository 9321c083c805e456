/* Branches on the current state: their possible outcomes, and what each outcome implies. */
#include "verifier.h"

#include "alu.h"

/* What a branch compares, worked out once for both ways. */
enum kind {
    KIND_NUMBERS,
    KIND_NULL, /* a lookup's result with 0 */
    KIND_LIMIT, /* a packet pointer with the end of the packet, or a metadata pointer with its start */
    KIND_NOTHING_LEARNT, /* two pointers of which the outcome says nothing */
    KIND_NOT_NULL, /* a pointer that is never 0, with 0 */
    KIND_FORBIDDEN,
};

struct operands {
    uint32_t op;
    bool narrow;
    struct reg *dst, *src;
    struct reg immediate;
};

static void find_operands(struct verifier *v, const struct bpf_insn *insn, struct operands *o)
{
    o->op = BPF_OP(insn->code);
    o->narrow = BPF_CLASS(insn->code) == BPF_JMP32;
    o->dst = verifier_reg_at(v, bpf_dst(insn));
    o->src = &o->immediate;
    if (BPF_SRC(insn->code) == BPF_X)
        o->src = verifier_reg_at(v, bpf_src(insn));
    else
        verifier_set_scalar(&o->immediate, scalar_const((uint64_t)(int64_t)insn->imm));
}

static bool is_zero_scalar(struct scalar scalar)
{
    return scalar_is_const(scalar) && scalar.bits.value == 0;
}

static bool is_zero(const struct reg *reg)
{
    return reg->type == REG_SCALAR && is_zero_scalar(reg->scalar);
}

static bool in_packet(const struct reg *reg)
{
    return reg->type == REG_PACKET || reg->type == REG_PACKET_END || reg->type == REG_PACKET_META;
}

/* `end` is where what `reg` points into ends: metadata ends where the packet begins, at `data` itself. */
static bool ends_at(const struct reg *reg, const struct reg *end)
{
    if (reg->type == REG_PACKET_META)
        return end->type == REG_PACKET && end->off == 0 && is_zero_scalar(end->scalar);
    return reg->type == REG_PACKET && end->type == REG_PACKET_END;
}

static enum kind kind_of(const struct verifier *v, const struct operands *o)
{
    const struct reg *dst = o->dst, *src = o->src;
    bool equality = o->op == BPF_JEQ || o->op == BPF_JNE;

    if (dst->type == REG_SCALAR && src->type == REG_SCALAR)
        return KIND_NUMBERS;
    if (o->narrow)
        return KIND_FORBIDDEN;
    if (equality && (is_zero(src) || is_zero(dst))) {
        const struct reg *pointer = is_zero(src) ? dst : src;

        if (pointer->type == REG_VALUE_OR_NULL)
            return KIND_NULL;
        if (pointer->type == REG_MEMORY && v->prog->test_mem_size == 0)
            return KIND_NOTHING_LEARNT;
        return KIND_NOT_NULL;
    }
    if (in_packet(dst) && in_packet(src)) {
        if (ends_at(dst, src) || ends_at(src, dst))
            return KIND_LIMIT;
        return KIND_NOTHING_LEARNT;
    }
    if (equality && dst->type == src->type)
        return KIND_NOTHING_LEARNT;
    return KIND_FORBIDDEN;
}

/* ---- what a way teaches ----------------------------------------------------------------------------------------- */

typedef void (*learn_fn)(struct reg *reg, const void *what);

/* Calls `learn` on every register and spilled register that has the id. */
static void for_each_id(struct verifier *v, uint32_t id, learn_fn learn, const void *what)
{
    for (uint32_t depth = 0; depth <= v->depth; depth++) {
        struct frame *frame = &v->frames[depth];

        for (uint32_t i = 0; i < 10; i++) {
            if (frame->regs[i].id == id && frame->regs[i].type != REG_NOT_INIT)
                learn(&frame->regs[i], what);
        }
        for (uint64_t spilled = frame->spilled; spilled != 0; spilled &= spilled - 1) {
            if (frame->spill[verifier_lowest_set(spilled)].id == id)
                learn(&frame->spill[verifier_lowest_set(spilled)], what);
        }
    }
}

static void learn_scalar(struct reg *reg, const void *what)
{
    if (reg->type == REG_SCALAR)
        reg->scalar = *(const struct scalar *)what;
}

static void learn_null(struct reg *reg, const void *what)
{
    if (reg->type != REG_VALUE_OR_NULL)
        return;
    if (*(const bool *)what) {
        verifier_set_scalar(reg, scalar_const(0));
    } else {
        reg->type = REG_VALUE;
        reg->id = 0;
    }
}

static void learn_range(struct reg *reg, const void *what)
{
    uint16_t range = *(const uint16_t *)what;

    if ((reg->type == REG_PACKET || reg->type == REG_PACKET_META) && reg->range < range)
        reg->range = range;
}

static void set_learnt(struct verifier *v, struct reg *reg, const struct scalar *scalar)
{
    struct scalar copy = *scalar;

    reg->scalar = copy;
    if (reg->id != 0)
        for_each_id(v, reg->id, learn_scalar, &copy);
}

/* Of `packet OP end` that went the `taken` way. A pointer at offset n that is not past the end means that n bytes
 * exist; one that is before it, n + 1. */
static void learn_packet(struct verifier *v, const struct operands *o, bool taken)
{
    bool packet_left = ends_at(o->dst, o->src);
    const struct reg *packet = packet_left ? o->dst : o->src;
    uint32_t op = o->op;
    bool before = false, within = false; /* packet < end, packet <= end */

    if (!packet_left) { /* end OP packet is packet OP' end */
        op = op == BPF_JLT   ? BPF_JGT
             : op == BPF_JGT ? BPF_JLT
             : op == BPF_JLE ? BPF_JGE
             : op == BPF_JGE ? BPF_JLE
                             : op;
    }
    switch (op) {
    case BPF_JLT: before = taken; break;
    case BPF_JGE: before = !taken; break;
    case BPF_JLE: within = taken; break;
    case BPF_JGT: within = !taken; break;
    case BPF_JEQ: within = taken; break;
    case BPF_JNE: within = !taken; break;
    default: break; /* signed: addresses are not compared so */
    }
    int64_t reach = (int64_t)packet->off + (before ? 1 : 0);
    if ((!before && !within) || reach <= 0 || packet->scalar.smin < 0 ||
        packet->scalar.umax + (uint64_t)reach > MAX_PACKET) {
        return;
    }
    uint16_t range = (uint16_t)reach;
    for_each_id(v, packet->id, learn_range, &range);
}

/* Applies what the way teaches; false when the program cannot go that way. */
static bool learn(struct verifier *v, const struct operands *o, enum kind kind, bool taken)
{
    struct scalar_pair pair;
    bool is_null = false;

    switch (kind) {
    case KIND_NUMBERS:
        pair = transfer_branch(o->op, o->narrow, taken, o->dst->scalar, o->src->scalar);
        if (scalar_is_empty(pair.dst) || scalar_is_empty(pair.src))
            return false;
        set_learnt(v, o->dst, &pair.dst);
        if (o->src != &o->immediate && o->src != o->dst)
            set_learnt(v, o->src, &pair.src);
        return true;
    case KIND_NULL:
        is_null = (o->op == BPF_JEQ) == taken;
        for_each_id(v, is_zero(o->src) ? o->dst->id : o->src->id, learn_null, &is_null);
        return true;
    case KIND_LIMIT: learn_packet(v, o, taken); return true;
    case KIND_NOT_NULL: return (o->op == BPF_JNE) == taken;
    default: return true;
    }
}

static bool can_go(const struct operands *o, enum kind kind, bool taken)
{
    if (kind == KIND_NOT_NULL)
        return (o->op == BPF_JNE) == taken;
    if (kind != KIND_NUMBERS)
        return true;
    struct scalar_pair pair = transfer_branch(o->op, o->narrow, taken, o->dst->scalar, o->src->scalar);
    return !scalar_is_empty(pair.dst) && !scalar_is_empty(pair.src);
}

/* ---- the walk --------------------------------------------------------------------------------------------------- */

static void remember(struct verifier *v, bool taken)
{
    v->trail[1] = v->trail[1] << 16 | v->trail[0] >> 48;
    v->trail[0] = v->trail[0] << 16 | ((v->slot + 1) * 2 + (taken ? 1u : 0u));
}

static void go(struct verifier *v, const struct bpf_insn *insn, bool taken)
{
    remember(v, taken);
    v->slot = taken ? (uint32_t)bpf_jump_target(insn, v->slot) : v->slot + 1;
}

enum step verifier_step_branch(struct verifier *v, const struct bpf_insn *insn)
{
    struct operands o;
    enum kind kind = KIND_FORBIDDEN;

    find_operands(v, insn, &o);
    if (o.dst->type == REG_NOT_INIT || o.src->type == REG_NOT_INIT) {
        (void)verifier_refuse(v, BPF_UNINITIALISED, "assign it on every path",
                              "r%u is compared before it is written",
                              o.dst->type == REG_NOT_INIT ? bpf_dst(insn) : bpf_src(insn));
        return STEP_REFUSED;
    }
    kind = kind_of(v, &o);
    if (kind == KIND_FORBIDDEN) {
        (void)verifier_refuse(
            v, BPF_POINTER_LEAK, "compare numbers with numbers, and packet pointers with data_end",
            "comparison of %s with %s", verifier_reg_words(o.dst), verifier_reg_words(o.src));
        return STEP_REFUSED;
    }
    if (kind == KIND_NUMBERS && scalar_is_const(o.dst->scalar) && scalar_is_const(o.src->scalar)) {
        go(v, insn, bpf_branch_taken(o.op, o.narrow, o.dst->scalar.bits.value, o.src->scalar.bits.value));
        return STEP_ON;
    }
    bool taken = can_go(&o, kind, true);
    if (!can_go(&o, kind, false)) {
        if (!taken)
            return STEP_PATH_END; /* no execution gets here: the state is empty */
        (void)learn(v, &o, kind, true);
        go(v, insn, true);
        return STEP_ON;
    }
    if (taken && !verifier_push_branch(v)) {
        (void)verifier_refuse(v, BPF_TOO_COMPLEX, "make the program smaller",
                              "too many branches wait to be walked");
        return STEP_REFUSED;
    }
    (void)learn(v, &o, kind, false);
    go(v, insn, false);
    return STEP_ON;
}

void verifier_take_branch(struct verifier *v)
{
    const struct bpf_insn *insn = &v->prog->insns[v->slot];
    struct operands o;

    find_operands(v, insn, &o);
    (void)learn(v, &o, kind_of(v, &o), true);
    go(v, insn, true);
}
