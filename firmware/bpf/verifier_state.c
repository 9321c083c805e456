/* States that are saved: to be walked later (branches), to cut paths that add nothing (nodes), and to bound time.
 *
 * A state is packed to what is live: registers, then stack slots, frame by frame. Nodes form a tree: each knows the
 * node before it on its path, the cost of the way from there, and, once all paths from it are walked, the cost of the
 * longest of them (`tail`). A path ends where a completed node covers it; so the graph walked has no cycle, and the
 * root's tail is the program's WCET.
 */
#include "verifier.h"

#include <string.h>

struct node {
    uint32_t next; /* in its slot's list */
    uint32_t parent;
    uint32_t pending; /* paths from here that are not walked to their end */
    uint32_t slot;
    uint64_t edge; /* cost from the parent to here */
    uint64_t tail; /* cost of the longest path walked from here */
    uint32_t hits, misses;
};

struct branch {
    uint32_t size; /* of this and its state */
    uint32_t slot, node, steps;
    uint64_t cost;
    uint64_t trail[2];
};

struct packed_state {
    uint32_t depth;
    uint32_t reserved;
};

struct packed_frame {
    uint16_t regs; /* which follow, */
    uint16_t slots; /* and how many packed_slots after them */
    uint32_t call_slot;
};

struct packed_slot {
    uint8_t number, init, zero, content;
    uint32_t reserved;
};

enum { CONTENT_BYTES = 0, CONTENT_WIDE, CONTENT_NARROW };

/* struct reg up to its scalar, then as much of the scalar as its form needs. */
enum { FORM_FULL = 0, FORM_CONST, FORM_UNKNOWN };
#define REG_HEAD offsetof(struct reg, scalar)

#define STATE_MAX                                                                                            \
    (sizeof(struct packed_state) +                                                                           \
     BPF_MAX_CALL_DEPTH * (sizeof(struct packed_frame) + 10 * sizeof(struct reg) +                           \
                           STACK_SLOTS * (sizeof(struct packed_slot) + sizeof(struct reg))))

#define MAX_ACTIVE_COMPARED 4u
#define MISSES_FORGIVEN     16u
#define SAVE_AFTER_STEPS    64u

static struct node *node_at(const struct verifier *v, uint32_t offset)
{
    return (struct node *)(void *)(v->pool + offset);
}

/* ---- what is live in a frame ------------------------------------------------------------------------------------ */

static uint32_t live_regs(const struct verifier *v, uint32_t depth)
{
    if (depth == v->depth)
        return v->info[v->slot].live_regs;
    return v->info[v->frames[depth + 1].call_slot + 1].live_regs &
           ~0x3fu; /* r0 to r5 do not survive the call */
}

static uint64_t live_slots(const struct verifier *v, uint32_t depth)
{
    const struct slot_info *info = &v->info[v->slot];

    if (v->all_live[v->frames[depth].subprog])
        return UINT64_MAX;
    if (depth < v->depth) {
        uint32_t call_slot = v->frames[depth + 1].call_slot;

        if (v->info[call_slot].flags & SLOT_LENDS)
            return UINT64_MAX;
        info = &v->info[call_slot + 1];
    }
    return info->live_low | info->live_high;
}

static uint32_t matter_regs(const struct verifier *v, uint32_t depth)
{
    if (depth == v->depth)
        return v->info[v->slot].matter_regs;
    return v->info[v->frames[depth + 1].call_slot + 1].matter_regs & ~0x3fu;
}

static uint64_t matter_slots(const struct verifier *v, uint32_t depth)
{
    uint32_t call_slot = 0;

    if (v->all_live[v->frames[depth].subprog])
        return UINT64_MAX;
    if (depth == v->depth)
        return v->info[v->slot].matter_slots;
    call_slot = v->frames[depth + 1].call_slot;
    return v->info[call_slot].flags & SLOT_LENDS ? UINT64_MAX : v->info[call_slot + 1].matter_slots;
}

/* Forgets the values that can decide nothing any more, but not that they are numbers. As with what is dead, to forget
 * is always sound. */
static void forget_values(struct verifier *v, uint32_t depth)
{
    struct frame *frame = &v->frames[depth];
    uint64_t slots = frame->used & ~matter_slots(v, depth);
    uint32_t regs = ~matter_regs(v, depth);

    for (uint32_t i = 0; i < 10; i++)
        if ((regs >> i & 1) && frame->regs[i].type == REG_SCALAR)
            set_scalar(&frame->regs[i], scalar_unknown());
    for (; slots != 0; slots &= slots - 1) {
        uint32_t slot = lowest_set(slots);

        if ((frame->spilled >> slot & 1) && is_pointer(&frame->spill[slot]))
            continue;
        frame->spilled &= ~(slots & (0 - slots));
        frame->zero[slot] = 0;
    }
    frame->narrow &= frame->spilled;
}

/* Forgets what is dead: it can then neither tell states apart, nor be read after all. */
static void forget_dead(struct verifier *v)
{
    for (uint32_t depth = 0; depth <= v->depth; depth++) {
        struct frame *frame = &v->frames[depth];
        uint64_t dead = frame->used & ~live_slots(v, depth);
        uint32_t regs = live_regs(v, depth);

        for (uint32_t i = 0; i < 10; i++)
            if (!(regs & (1u << i)))
                frame->regs[i].type = REG_NOT_INIT;
        frame->used &= ~dead;
        frame->spilled &= ~dead;
        for (; dead != 0; dead &= dead - 1)
            frame->init[lowest_set(dead)] = 0;
        forget_values(v, depth);
    }
}

/* ---- packing ---------------------------------------------------------------------------------------------------- */

static uint32_t form_of(const struct scalar *scalar)
{
    if (scalar->bits.mask == 0)
        return FORM_CONST;
    if (scalar->bits.mask == UINT64_MAX && scalar->umin == 0 && scalar->umax == UINT64_MAX &&
        scalar->smin == INT64_MIN && scalar->smax == INT64_MAX && scalar->u32_min == 0 &&
        scalar->u32_max == UINT32_MAX && scalar->s32_min == INT32_MIN && scalar->s32_max == INT32_MAX)
        return FORM_UNKNOWN;
    return FORM_FULL;
}

static uint8_t *pack_reg(uint8_t *to, struct reg *reg)
{
    struct reg *packed = (struct reg *)(void *)to;

    reg->form = form_of(&reg->scalar);
    memcpy(to, reg, REG_HEAD);
    to += REG_HEAD;
    if (reg->form == FORM_CONST) {
        memcpy(to, &reg->scalar.bits.value, 8);
        return to + 8;
    }
    if (reg->form == FORM_FULL) {
        packed->scalar = reg->scalar;
        return to + sizeof(struct scalar);
    }
    return to;
}

static const uint8_t *unpack_reg(const uint8_t *from, struct reg *reg)
{
    uint64_t value = 0;

    memcpy(reg, from, REG_HEAD);
    from += REG_HEAD;
    switch (reg->form) {
    case FORM_CONST:
        memcpy(&value, from, 8);
        reg->scalar = scalar_const(value);
        return from + 8;
    case FORM_UNKNOWN: reg->scalar = scalar_unknown(); return from;
    default: memcpy(&reg->scalar, from, sizeof(struct scalar)); return from + sizeof(struct scalar);
    }
}

static uint8_t *pack_frame(struct verifier *v, uint32_t depth, uint8_t *to)
{
    struct frame *frame = &v->frames[depth];
    struct packed_frame *head = (struct packed_frame *)(void *)to;
    uint32_t regs = live_regs(v, depth);
    uint64_t slots = frame->used & live_slots(v, depth);

    head->regs = 0;
    head->slots = 0;
    head->call_slot = frame->call_slot;
    to += sizeof(*head);
    for (uint32_t i = 0; i < 10; i++) {
        if (!(regs & (1u << i)) || frame->regs[i].type == REG_NOT_INIT)
            continue;
        head->regs = (uint16_t)(head->regs | (1u << i));
        to = pack_reg(to, &frame->regs[i]);
    }
    for (; slots != 0; slots &= slots - 1) {
        uint32_t number = lowest_set(slots);
        uint64_t bit = (uint64_t)1 << number;
        struct packed_slot *slot = (struct packed_slot *)(void *)to;

        slot->number = (uint8_t)number;
        slot->init = frame->init[number];
        slot->zero = frame->zero[number];
        slot->content = CONTENT_BYTES;
        slot->reserved = 0;
        to += sizeof(*slot);
        if (frame->spilled & bit) {
            slot->content = frame->narrow & bit ? CONTENT_NARROW : CONTENT_WIDE;
            to = pack_reg(to, &frame->spill[number]);
        }
        head->slots++;
    }
    return to;
}

static uint8_t *pack_state(struct verifier *v, uint8_t *to)
{
    struct packed_state *head = (struct packed_state *)(void *)to;

    head->depth = v->depth;
    head->reserved = 0;
    to += sizeof(*head);
    for (uint32_t depth = 0; depth <= v->depth; depth++)
        to = pack_frame(v, depth, to);
    return to;
}

static void unpack_state(struct verifier *v, const uint8_t *from)
{
    const struct packed_state *state = (const struct packed_state *)(const void *)from;

    v->depth = state->depth;
    from += sizeof(*state);
    for (uint32_t depth = 0; depth <= v->depth; depth++) {
        struct frame *frame = &v->frames[depth];
        const struct packed_frame *head = (const struct packed_frame *)(const void *)from;

        from += sizeof(*head);
        frame->call_slot = head->call_slot;
        for (uint32_t i = 0; i < 10; i++) {
            if (head->regs & (1u << i))
                from = unpack_reg(from, &frame->regs[i]);
            else
                frame->regs[i].type = REG_NOT_INIT;
        }
        for (uint64_t used = frame->used; used != 0; used &= used - 1)
            frame->init[lowest_set(used)] = 0;
        frame->used = 0;
        frame->spilled = 0;
        frame->narrow = 0;
        for (uint32_t i = 0; i < head->slots; i++) {
            const struct packed_slot *slot = (const struct packed_slot *)(const void *)from;
            uint64_t bit = (uint64_t)1 << slot->number;

            frame->used |= bit;
            frame->init[slot->number] = slot->init;
            frame->zero[slot->number] = slot->zero;
            from += sizeof(*slot);
            if (slot->content == CONTENT_BYTES)
                continue;
            frame->spilled |= bit;
            if (slot->content == CONTENT_NARROW)
                frame->narrow |= bit;
            from = unpack_reg(from, &frame->spill[slot->number]);
        }
        /* A frame's function is where its call went; frame 0 is the program's entry. */
        frame->subprog = 0;
        if (depth > 0) {
            const struct bpf_insn *call = &v->prog->insns[frame->call_slot];

            frame->subprog = v->info[bpf_jump_target(call, frame->call_slot)].subprog;
        }
    }
    v->fp.index = (uint8_t)v->depth;
}

/* ---- comparing -------------------------------------------------------------------------------------------------- */

/* Which id of the present state stands for an id of the saved one: equal unknowns there must be equal here. */
struct ids {
    bool exact; /* and each unknown may be as much there as here */
    uint32_t count;
    uint32_t old[32], present[32];
};

static bool same_id(struct ids *ids, uint32_t old, uint32_t present)
{
    if (old == 0)
        return true;
    for (uint32_t i = 0; i < ids->count; i++)
        if (ids->old[i] == old)
            return present != 0 && ids->present[i] == present;
    if (ids->count == 32)
        return false;
    ids->old[ids->count] = old;
    ids->present[ids->count++] = present;
    return true;
}

static bool scalar_covers(const uint8_t *old, uint32_t form, const struct scalar *present)
{
    switch (form) {
    case FORM_UNKNOWN: return true;
    case FORM_CONST: {
        uint64_t value = 0;

        memcpy(&value, old, 8);
        return present->bits.mask == 0 && present->bits.value == value;
    }
    default: return scalar_within(*present, *(const struct scalar *)(const void *)old);
    }
}

/* The other way round, given that the first way holds: the present one has shrunk in nothing. */
static bool scalar_equals(const uint8_t *old, uint32_t form, const struct scalar *present)
{
    switch (form) {
    case FORM_UNKNOWN: return form_of(present) == FORM_UNKNOWN;
    case FORM_CONST: return true;
    default: return scalar_within(*(const struct scalar *)(const void *)old, *present);
    }
}

static uint32_t packed_scalar_size(uint32_t form)
{
    return form == FORM_CONST ? 8 : form == FORM_UNKNOWN ? 0 : (uint32_t)sizeof(struct scalar);
}

/* True when whatever `present` can be, the packed register could be. Advances past it. */
static bool reg_covers(struct ids *ids, const uint8_t **from, const struct reg *present)
{
    const struct reg *old = (const struct reg *)(const void *)*from;
    const uint8_t *scalar = *from + REG_HEAD;

    *from = scalar + packed_scalar_size(old->form);
    if (old->type != present->type || !scalar_covers(scalar, old->form, &present->scalar))
        return false;
    if (ids->exact && !scalar_equals(scalar, old->form, &present->scalar))
        return false;
    if (old->type == REG_SCALAR) /* constants are equal without an id to say so */
        return old->form == FORM_CONST || same_id(ids, old->id, present->id);
    return old->off == present->off && old->index == present->index && old->range <= present->range &&
           same_id(ids, old->id, present->id);
}

static bool slot_covers(struct ids *ids, const uint8_t **from, const struct frame *present)
{
    const struct packed_slot *old = (const struct packed_slot *)(const void *)*from;
    uint64_t bit = (uint64_t)1 << old->number;
    bool spilled = (present->spilled & bit) != 0;

    *from += sizeof(*old);
    if (!(present->used & bit) || (old->init & ~present->init[old->number]) != 0 ||
        (old->zero & ~present->zero[old->number]) != 0)
        return false;
    if (old->content == CONTENT_BYTES)
        return !spilled || !is_pointer(&present->spill[old->number]);
    if (!spilled || (old->content == CONTENT_NARROW) != ((present->narrow & bit) != 0))
        return false;
    return reg_covers(ids, from, &present->spill[old->number]);
}

/* True when the present state is one of those that the node stands for: each of its executions was walked from there.
 * `exact`: and it is no smaller in what numbers can be, so that a loop which came back to it made no headway. */
static bool covers(const struct verifier *v, const struct node *node, bool exact)
{
    const uint8_t *from = (const uint8_t *)(node + 1);
    const struct packed_state *state = (const struct packed_state *)(const void *)from;
    struct ids ids;

    ids.count = 0;
    ids.exact = exact;
    if (state->depth != v->depth)
        return false;
    from += sizeof(*state);
    for (uint32_t depth = 0; depth <= v->depth; depth++) {
        const struct frame *frame = &v->frames[depth];
        const struct packed_frame *head = (const struct packed_frame *)(const void *)from;

        from += sizeof(*head);
        if (depth > 0 && head->call_slot != frame->call_slot)
            return false;
        for (uint32_t regs = head->regs; regs != 0; regs &= regs - 1)
            if (!reg_covers(&ids, &from, &frame->regs[lowest_set(regs)]))
                return false;
        for (uint32_t i = 0; i < head->slots; i++)
            if (!slot_covers(&ids, &from, frame))
                return false;
    }
    return true;
}

/* ---- nodes ------------------------------------------------------------------------------------------------------ */

static void count_state(struct verifier *v)
{
    if (v->nodes + v->branches > v->peak)
        v->peak = v->nodes + v->branches;
}

/* Saves the present state as a node on this path. When the pool is full the walk goes on without. */
static void add_node(struct verifier *v)
{
    struct node *node = NULL;
    uint32_t offset = v->pool_low;

    if (v->pool_low > v->pool_size / 4 * 3 || v->pool_high - v->pool_low < sizeof(*node) + STATE_MAX)
        return;
    node = node_at(v, offset);
    node->parent = v->node;
    node->pending = 1;
    node->slot = v->slot;
    node->edge = v->cost;
    node->tail = 0;
    node->hits = 0;
    node->misses = 0;
    node->next = v->info[v->slot].active;
    v->info[v->slot].active = offset;
    v->pool_low = (uint32_t)(pack_state(v, (uint8_t *)(node + 1)) - v->pool);
    v->node = offset;
    v->forks = 0;
    v->steps = 0;
    v->cost = 0;
    v->nodes++;
    count_state(v);
}

void states_start(struct verifier *v)
{
    struct node *root = node_at(v, 8); /* offset 0 means none */

    memset(root, 0, sizeof(*root));
    root->pending = 1;
    v->pool_low = 8 + (uint32_t)sizeof(*root);
    v->pool_high = v->pool_size & ~7u;
    v->node = 8;
}

uint64_t walked_wcet(const struct verifier *v)
{
    return node_at(v, 8)->tail;
}

void end_path(struct verifier *v, uint64_t more)
{
    uint64_t cost = v->cost + more;
    uint32_t offset = v->node;

    while (offset != 0) {
        struct node *node = node_at(v, offset);

        if (cost > node->tail)
            node->tail = cost;
        if (--node->pending > 0)
            return;
        if (node->parent != 0) { /* completed: from the head of its slot's active list to the done list */
            struct slot_info *info = &v->info[node->slot];

            info->active = node->next;
            node->next = info->done;
            info->done = offset;
        }
        cost = node->edge + node->tail;
        offset = node->parent;
    }
}

enum visit visit_join(struct verifier *v)
{
    struct slot_info *info = &v->info[v->slot];
    uint32_t *link = &info->done, compared = 0;

    forget_dead(v);
    while (*link != 0) {
        struct node *node = node_at(v, *link);

        if (covers(v, node, false)) {
            node->hits++;
            end_path(v, node->tail);
            return VISIT_COVERED;
        }
        if (++node->misses > MISSES_FORGIVEN + 4 * node->hits)
            *link = node->next; /* not worth comparing any more */
        else
            link = &node->next;
    }
    for (uint32_t offset = info->active; offset != 0 && compared < MAX_ACTIVE_COMPARED; compared++) {
        const struct node *node = node_at(v, offset);

        if (covers(v, node, true))
            return VISIT_LOOPS;
        offset = node->next;
    }
    if (v->forks > 0 || v->steps >= SAVE_AFTER_STEPS)
        add_node(v);
    return VISIT_WALK_ON;
}

/* ---- branches --------------------------------------------------------------------------------------------------- */

bool push_branch(struct verifier *v)
{
    struct branch *branch = NULL;
    uint8_t *start = v->pool + v->pool_low, *end = NULL;
    uint32_t size = 0;

    if (v->pool_high - v->pool_low < 2 * (sizeof(*branch) + STATE_MAX))
        return false;
    /* Packed in the gap between the stacks first, since its size is known only then. */
    end = pack_state(v, start + sizeof(*branch));
    size = (uint32_t)(end - start);
    v->pool_high -= size;
    memcpy(v->pool + v->pool_high + sizeof(*branch), start + sizeof(*branch), size - sizeof(*branch));
    branch = (struct branch *)(void *)(v->pool + v->pool_high);
    branch->size = size;
    branch->slot = v->slot;
    branch->node = v->node;
    branch->steps = v->steps;
    branch->cost = v->cost;
    branch->trail[0] = v->trail[0];
    branch->trail[1] = v->trail[1];
    node_at(v, v->node)->pending++;
    v->forks++;
    v->branches++;
    count_state(v);
    return true;
}

bool pop_branch(struct verifier *v)
{
    const struct branch *branch = (const struct branch *)(const void *)(v->pool + v->pool_high);

    if (v->branches == 0)
        return false;
    v->branches--;
    v->slot = branch->slot;
    v->node = branch->node;
    v->steps = branch->steps;
    v->forks = 1;
    v->cost = branch->cost;
    v->trail[0] = branch->trail[0];
    v->trail[1] = branch->trail[1];
    unpack_state(v, (const uint8_t *)(branch + 1));
    v->pool_high += branch->size;
    return true;
}
