/* The interpreter's additional parameters for tests. */
#ifndef ASSAY_BPF_INTERP_H
#define ASSAY_BPF_INTERP_H

#include "bpf.h"

/* As bpf_interp; every new stack frame is filled with `fill`, so that a program whose result depends on bytes it
 * never wrote is detected by a result that changes with the fill. */
void bpf_interp_filled(const struct bpf_prog *prog, void *context, uint64_t fuel, uint8_t fill,
                       struct bpf_run *out);

#endif
