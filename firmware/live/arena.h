/* The division of the arena pool: one owner per part, at fixed addresses, so that nothing depends on history. */
#ifndef ASSAY_LIVE_ARENA_H
#define ASSAY_LIVE_ARENA_H

#include "bpf/bpf.h"
#include "kernel/memory.h"
#include "live/extension.h"

#define ARENA_VERIFIER_SIZE   0x400000u /* bpf_verify_arena_size() is at most this */
#define ARENA_EMIT_OFFSET     0x400000u /* where the JIT writes before the code is copied */
#define ARENA_EMIT_SIZE       0x080000u
#define ARENA_RESULTS_OFFSET  0x480000u /* result records of the last trial or replay */
#define ARENA_RESULTS_SIZE    0x080000u
#define ARENA_PROGRAMS_OFFSET 0x500000u

/* One program's instructions: as in the image, bound to the live maps, bound to the trial's, and the slot flags. */
struct program_memory {
    struct bpf_insn original[BPF_MAX_SLOTS];
    struct bpf_insn live[BPF_MAX_SLOTS];
    struct bpf_insn trial[BPF_MAX_SLOTS];
    uint8_t slot_flags[BPF_MAX_SLOTS];
};

_Static_assert(ARENA_PROGRAMS_OFFSET + EXTENSIONS_MAX * sizeof(struct program_memory) <= ARENA_SIZE,
               "arena too small");

/* By extension_index. */
static inline struct program_memory *arena_program(uint32_t index)
{
    return (struct program_memory *)(ARENA_VA + ARENA_PROGRAMS_OFFSET) + index;
}

#endif
