/* The stack of the current state, byte by byte: no read before a write, pointers only as a whole. */
#include "verifier.h"

/* A run of bytes in the stack: `from` counts up from the lowest byte of the frame. */
struct span {
    struct frame *frame;
    uint32_t from, size;
};

static uint32_t slot_of(uint32_t byte)
{
    return STACK_SLOTS - 1 - byte / 8;
}

/* Where the access is; a variable offset gives the whole run it may touch. Notes the stack depth. */
static bool span_of(struct verifier *v, const struct reg *at, int32_t off, uint32_t size, struct span *span)
{
    struct frame *frame = &v->frames[at->index];
    int64_t low = (int64_t)at->off + off + at->scalar.smin;
    int64_t high = (int64_t)at->off + off + at->scalar.smax + size;

    if (low < -(int64_t)BPF_STACK_SIZE || high > 0) {
        return verifier_refuse(v, BPF_BAD_ACCESS, "stay between r10-512 and r10",
                               "stack access at r10%s%D, %u bytes", low < 0 ? "" : "+", low,
                               (unsigned)(high - low));
    }
    if ((uint32_t)-low > v->stack_used[frame->subprog])
        v->stack_used[frame->subprog] = (uint32_t)-low;
    span->frame = frame;
    span->from = (uint32_t)(low + (int64_t)BPF_STACK_SIZE);
    span->size = (uint32_t)(high - low);
    return true;
}

/* The slot holds a pointer: only its exact 8 bytes may be touched. */
static bool holds_pointer(const struct frame *frame, uint32_t slot)
{
    return (frame->spilled >> slot & 1) != 0 && verifier_is_pointer(&frame->spill[slot]);
}

/* All bytes are initialised and none is part of a pointer. *zero: all are known to be 0. */
static bool check_bytes(struct verifier *v, const struct span *span, bool *zero)
{
    *zero = true;
    for (uint32_t byte = span->from; byte < span->from + span->size; byte++) {
        uint32_t slot = slot_of(byte), bit = 1u << (byte % 8);

        if (!(span->frame->init[slot] & bit)) {
            return verifier_refuse(v, BPF_UNINITIALISED, "write it first",
                                   "stack byte r10%D is read before it is written",
                                   (int64_t)byte - (int64_t)BPF_STACK_SIZE);
        }
        if (holds_pointer(span->frame, slot)) {
            return verifier_refuse(v, BPF_POINTER_LEAK, "load the whole 8 bytes",
                                   "part of a pointer on the stack (r10%D) is read",
                                   (int64_t)byte - (int64_t)BPF_STACK_SIZE);
        }
        if (!(span->frame->zero[slot] & bit))
            *zero = false;
    }
    return true;
}

bool verifier_stack_read(struct verifier *v, const struct reg *at, int32_t off, uint32_t size)
{
    struct span span;
    bool zero = false;

    return span_of(v, at, off, size, &span) && check_bytes(v, &span, &zero);
}

bool verifier_stack_load(struct verifier *v, const struct reg *at, int32_t off, uint32_t size,
                         struct reg *result)
{
    struct span span;

    if (!span_of(v, at, off, size, &span))
        return false;
    uint32_t slot = slot_of(span.from);
    struct reg *spill = NULL;
    bool wide = false;
    if (span.size == size && (span.frame->spilled >> slot & 1) && span.from % 8 == 0) {
        spill = &span.frame->spill[slot];
        wide = !(span.frame->narrow >> slot & 1);
        if (spill->id == 0 && spill->type == REG_SCALAR && !scalar_is_const(spill->scalar))
            spill->id = verifier_new_id(v); /* what is learnt of what was loaded is learnt of the slot */
        if (size == 8 && wide) {
            *result = *spill;
            return true;
        }
        if (size <= 4 && !verifier_is_pointer(spill)) {
            uint32_t id = spill->id;

            verifier_set_scalar(result, scalar_zero_extend(spill->scalar, 8 * size));
            if (spill->scalar.umax <= ((uint64_t)1 << (8 * size)) - 1)
                result->id = id; /* the same value */
            return true;
        }
    }
    bool zero = false;
    if (!check_bytes(v, &span, &zero))
        return false;
    verifier_set_scalar(result, zero ? scalar_const(0) : verifier_unknown_of_size(size));
    return true;
}

/* Before bytes `bits` of a slot are overwritten: what the slot held as a whole is no longer whole. */
static void break_slot(struct frame *frame, uint32_t slot, uint32_t bits)
{
    uint64_t bit = (uint64_t)1 << slot;

    if (!(frame->spilled & bit))
        return;
    if ((frame->narrow & bit) && !(bits & 0x0f))
        return; /* the low half stays what it is */
    if (verifier_is_pointer(&frame->spill[slot]))
        frame->init[slot] = 0; /* what remains of a pointer is nothing to read */
    frame->spilled &= ~bit;
    frame->narrow &= ~bit;
}

/* Somewhere within the span: afterwards any byte of it may be old or new. */
static bool store_somewhere(struct verifier *v, const struct span *span)
{
    for (uint32_t byte = span->from; byte < span->from + span->size; byte++) {
        uint32_t slot = slot_of(byte);

        if (holds_pointer(span->frame, slot)) {
            return verifier_refuse(v, BPF_BAD_ACCESS, "keep pointers away from arrays on the stack",
                                   "a store at a variable offset may overwrite a pointer at r10%D",
                                   (int64_t)byte - (int64_t)BPF_STACK_SIZE);
        }
        break_slot(span->frame, slot, 1u << (byte % 8));
        span->frame->zero[slot] &= (uint8_t)~(1u << (byte % 8));
    }
    return true;
}

static bool check_spill(struct verifier *v, const struct reg *at, const struct span *span, uint32_t size,
                        const struct reg *source)
{
    if (!verifier_is_pointer(source))
        return true;
    if (span->size != size || size != 8 || span->from % 8 != 0) {
        return verifier_refuse(v, BPF_BAD_ACCESS, "spill pointers as 8 bytes at a multiple of 8",
                               "%s stored to the stack in part or unaligned", verifier_reg_words(source));
    }
    if (source->type == REG_STACK && at->index != v->depth) {
        return verifier_refuse(v, BPF_POINTER_LEAK, "pass it as an argument",
                               "a stack pointer stored in the caller's frame");
    }
    return true;
}

bool verifier_stack_store(struct verifier *v, const struct reg *at, int32_t off, uint32_t size,
                          struct reg *source)
{
    struct span span;
    bool zero = !verifier_is_pointer(source) && scalar_is_const(source->scalar) &&
                (source->scalar.bits.value << (64 - 8 * size)) == 0;

    if (!span_of(v, at, off, size, &span) || !check_spill(v, at, &span, size, source))
        return false;
    if (span.size != size)
        return store_somewhere(v, &span);
    struct frame *frame = span.frame;
    uint32_t slot = 0;
    for (uint32_t byte = span.from; byte < span.from + size;) {
        uint32_t end = byte - byte % 8 + 8;

        slot = slot_of(byte);
        uint32_t bits = 0;
        for (; byte < end && byte < span.from + size; byte++)
            bits |= 1u << (byte % 8);
        break_slot(frame, slot, bits);
        frame->init[slot] = (uint8_t)(frame->init[slot] | bits);
        frame->zero[slot] = (uint8_t)(zero ? frame->zero[slot] | bits : frame->zero[slot] & ~bits);
        frame->used |= (uint64_t)1 << slot;
    }
    if (span.from % 8 != 0 || size < 4)
        return true;
    frame->spilled |= (uint64_t)1 << slot;
    if (size == 8) {
        frame->narrow &= ~((uint64_t)1 << slot);
        if (source->id == 0 && (source->type == REG_VALUE_OR_NULL ||
                                (source->type == REG_SCALAR && !scalar_is_const(source->scalar)))) {
            source->id = verifier_new_id(v);
        }
        frame->spill[slot] = *source;
        return true;
    }
    frame->narrow |= (uint64_t)1 << slot;
    if (source->scalar.umax <= UINT32_MAX && !scalar_is_const(source->scalar) && source->id == 0)
        source->id = verifier_new_id(v);
    verifier_set_scalar(&frame->spill[slot], scalar_zero_extend(source->scalar, 32));
    if (source->scalar.umax <= UINT32_MAX)
        frame->spill[slot].id = source->id;
    return true;
}
