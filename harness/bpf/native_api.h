/* All that Python calls of the engine: the engine's own headers, and what the host adds to them. */
#ifndef ASSAY_NATIVE_API_H
#define ASSAY_NATIVE_API_H

#include "bpf.h"
#include "interp.h"

/* native_env.c: the engine's surroundings, settable. */
void native_set_ktime(uint64_t value);
void native_set_seed(uint64_t seed);
size_t native_take_trace(char *to, size_t size);
/* The structures that Python fills in or reads: their sizes are compared when the library is loaded. */
#define NATIVE_STRUCTURES(X)                                                                                 \
    X(bpf_insn)                                                                                              \
    X(bpf_map_def)                                                                                           \
    X(bpf_prog)                                                                                              \
    X(bpf_verdict)                                                                                           \
    X(bpf_run)                                                                                               \
    X(bpf_jit_result)
/* Size of such a structure, by its name without `struct`; 0: not one of them. */
size_t native_size_of(const char *name);

/* native_witness.c: this thread's next verification is recorded, until the end, which gives the steps of the path that
 * it ended on; then the slot of each, and what the registers held that its instruction reads ("" but for the newest). */
void native_witness_start(void);
uint32_t native_witness_end(void);
uint32_t native_witness_slot(uint32_t step);
const char *native_witness_state(uint32_t step);

/* native_sampler.c. */
uint64_t native_sample_alu(uint64_t seed, uint64_t cases, uint32_t op, int32_t off, bool narrow);
uint64_t native_sample_end(uint64_t seed, uint64_t cases, uint32_t bits, bool swap);
uint64_t native_sample_branch(uint64_t seed, uint64_t cases, uint32_t op, bool narrow);
uint64_t native_sample_meet(uint64_t seed, uint64_t cases);

#endif
