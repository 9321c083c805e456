/* eBPF programs, the first kind of extension: maps, verified instructions, A64. */
#ifndef ASSAY_LIVE_PROGRAM_H
#define ASSAY_LIVE_PROGRAM_H

#include <stdint.h>

#include "bpf/bpf.h"
#include "live/extension.h"
#include "live/maps.h"

/* A program's instructions, bound to one set of maps: the live ones, or the trial's own. */
struct program_binding {
    struct live_map *maps[BPF_MAX_MAPS];
    struct bpf_prog bpf; /* as verified; insns are this binding's, with the addresses of its maps in them */
};

/* What an extension of this kind has beside struct extension. */
struct program {
    struct extension *extension;
    struct bpf_map_def defs[BPF_MAX_MAPS]; /* as the image asks for them */
    struct bpf_verdict verdict;
    struct bpf_insn *original; /* before the verifier rewrote it: says which slots refer to maps */
    struct program_binding bindings[2]; /* by enum extension_state */
    uint32_t max_per_slot; /* A64 instructions, over both bindings */
    /* Testing kernels: deployed calls before a planted defect acts, as the image says, and those left of them. */
    uint64_t clean_calls;
    uint64_t calls_left;
};

extern const struct extension_ops program_ops;

/* Forgets all programs and their code. */
void programs_init(void);

#endif
