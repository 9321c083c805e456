/* Packs the live part of a state: registers, then stack slots, frame by frame. Compares whether one covers another. */
#include "verifier_state.h"

#include <string.h>

enum { CONTENT_BYTES = 0, CONTENT_WIDE, CONTENT_NARROW };

/* struct reg up to its scalar, then as much of the scalar as its form needs. */
enum { FORM_FULL = 0, FORM_CONST, FORM_UNKNOWN };
#define REG_HEAD offsetof(struct reg, scalar)

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
    if (v->all_live[v->frames[depth].subprog])
        return UINT64_MAX;
    if (depth == v->depth)
        return v->info[v->slot].matter_slots;
    uint32_t call_slot = v->frames[depth + 1].call_slot;
    return v->info[call_slot].flags & SLOT_LENDS ? UINT64_MAX : v->info[call_slot + 1].matter_slots;
}

/* Forgets the values that can decide nothing any more, but not that they are numbers. As with what is dead, to forget
 * is always sound. */
static void forget_values(struct verifier *v, uint32_t depth)
{
    struct frame *frame = &v->frames[depth];
    uint64_t slots = frame->used & ~matter_slots(v, depth);
    uint32_t regs = ~matter_regs(v, depth);

    for (uint32_t i = 0; i < 10; i++) {
        if ((regs >> i & 1) && frame->regs[i].type == REG_SCALAR)
            verifier_set_scalar(&frame->regs[i], scalar_unknown());
    }
    for (; slots != 0; slots &= slots - 1) {
        uint32_t slot = verifier_lowest_set(slots);

        if ((frame->spilled >> slot & 1) && verifier_is_pointer(&frame->spill[slot]))
            continue;
        frame->spilled &= ~(slots & (0 - slots));
        frame->zero[slot] = 0;
    }
    frame->narrow &= frame->spilled;
}

void verifier_forget_dead(struct verifier *v)
{
    for (uint32_t depth = 0; depth <= v->depth; depth++) {
        struct frame *frame = &v->frames[depth];
        uint64_t dead = frame->used & ~live_slots(v, depth);
        uint32_t regs = live_regs(v, depth);

        for (uint32_t i = 0; i < 10; i++) {
            if (!(regs & (1u << i)))
                frame->regs[i].type = REG_NOT_INIT;
        }
        frame->used &= ~dead;
        frame->spilled &= ~dead;
        for (; dead != 0; dead &= dead - 1)
            frame->init[verifier_lowest_set(dead)] = 0;
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
        scalar->u32_max == UINT32_MAX && scalar->s32_min == INT32_MIN && scalar->s32_max == INT32_MAX) {
        return FORM_UNKNOWN;
    }
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
        uint32_t number = verifier_lowest_set(slots);
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

uint8_t *verifier_pack(struct verifier *v, uint8_t *to)
{
    struct packed_state *head = (struct packed_state *)(void *)to;

    head->depth = v->depth;
    head->reserved = 0;
    to += sizeof(*head);
    for (uint32_t depth = 0; depth <= v->depth; depth++)
        to = pack_frame(v, depth, to);
    return to;
}

void verifier_unpack(struct verifier *v, const uint8_t *from)
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
            frame->init[verifier_lowest_set(used)] = 0;
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
    for (uint32_t i = 0; i < ids->count; i++) {
        if (ids->old[i] == old)
            return present != 0 && ids->present[i] == present;
    }
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
        (old->zero & ~present->zero[old->number]) != 0) {
        return false;
    }
    if (old->content == CONTENT_BYTES)
        return !spilled || !verifier_is_pointer(&present->spill[old->number]);
    if (!spilled || (old->content == CONTENT_NARROW) != ((present->narrow & bit) != 0))
        return false;
    return reg_covers(ids, from, &present->spill[old->number]);
}

bool verifier_covers(const struct verifier *v, const uint8_t *saved, bool exact)
{
    const uint8_t *from = saved;
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
        for (uint32_t regs = head->regs; regs != 0; regs &= regs - 1) {
            if (!reg_covers(&ids, &from, &frame->regs[verifier_lowest_set(regs)]))
                return false;
        }
        for (uint32_t i = 0; i < head->slots; i++) {
            if (!slot_covers(&ids, &from, frame))
                return false;
        }
    }
    return true;
}
