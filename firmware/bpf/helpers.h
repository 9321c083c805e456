/* A helper for the verifier and the interpreter: its arguments, its result, its cost. */
#ifndef ASSAY_BPF_HELPERS_H
#define ASSAY_BPF_HELPERS_H

#include "bpf.h"

/* A row of contracts/ebpf/helpers.py. */
struct bpf_helper {
    int32_t number;
    const char *name;
    uint32_t cost;
    uint32_t hooks; /* bit n: programs of hook n may call it */
    uint8_t args[5]; /* enum bpf_arg, of r1 to r5 */
    uint8_t result; /* enum bpf_result */
    bool writes_map;
    bpf_helper_fn call;
};

/* NULL if there is none of that number. */
const struct bpf_helper *bpf_helper_find(int32_t number);

/* The cost of a call, on a map of this shape (NULL: without a map). */
uint32_t bpf_helper_cost_of(const struct bpf_helper *helper, const struct bpf_map_def *def);

/* helper_trace.c: how many of r3, r4, r5 a format of `size` bytes consumes; -1 when bpf_trace_printk refuses it. */
int bpf_trace_arguments(const char *format, uint32_t size);

/* The functions that implement helpers, each in the file that its row names. */
#define BPF_HELPER_DECLARE(function)                                                                         \
    uint64_t function(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5);
BPF_HELPER_FUNCTIONS(BPF_HELPER_DECLARE)
#undef BPF_HELPER_DECLARE

static inline void *bpf_pointer(uint64_t address)
{
    return (void *)(uintptr_t)address;
}

#endif
