/* States as verifier_state.c packs and compares them, for verifier_paths.c, which saves them. */
#ifndef ASSAY_BPF_VERIFIER_STATE_H
#define ASSAY_BPF_VERIFIER_STATE_H

#include "verifier.h"

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

/* Bytes that a packed state takes at most. */
#define VERIFIER_STATE_MAX                                                                                   \
    (sizeof(struct packed_state) +                                                                           \
     BPF_MAX_CALL_DEPTH * (sizeof(struct packed_frame) + 10 * sizeof(struct reg) +                           \
                           STACK_SLOTS * (sizeof(struct packed_slot) + sizeof(struct reg))))

/* Forgets what is dead: it can then neither tell states apart, nor be read after all. */
void verifier_forget_dead(struct verifier *v);
/* Packs the present state to `to`, which is aligned to 8 bytes; returns the first byte after it. */
uint8_t *verifier_pack(struct verifier *v, uint8_t *to);
void verifier_unpack(struct verifier *v, const uint8_t *from);
/* True when the present state is one of those that the saved one stands for: each of its executions was walked from
 * there. `exact`: and it is no smaller in what numbers can be, so that a loop which came back to it made no headway. */
bool verifier_covers(const struct verifier *v, const uint8_t *saved, bool exact);

#endif
