/* What the verifier and the interpreter know of a helper: its arguments, its result, its cost. */
#ifndef ASSAY_BPF_HELPERS_H
#define ASSAY_BPF_HELPERS_H

#include "bpf.h"

enum bpf_arg {
    BPF_ARG_NONE = 0,
    BPF_ARG_MAP, /* a map, by lddw */
    BPF_ARG_KEY, /* readable: key_size bytes of the map */
    BPF_ARG_VALUE, /* readable: value_size bytes of the map */
    BPF_ARG_SCALAR,
    BPF_ARG_MEMORY, /* readable: as many bytes as the next argument says */
    BPF_ARG_SIZE, /* 1 to BPF_TRACE_FORMAT_MAX */
    BPF_ARG_PRINTED, /* a scalar if the format before it consumes it */
};

enum bpf_result {
    BPF_RESULT_SCALAR,
    BPF_RESULT_U32, /* zero-extended */
    BPF_RESULT_VALUE_OR_NULL, /* a value of the map in r1, or NULL */
};

struct bpf_helper {
    int32_t number;
    const char *name;
    uint32_t cost;
    uint8_t args[5]; /* enum bpf_arg, of r1 to r5 */
    uint8_t result; /* enum bpf_result */
    bool writes_map;
    bpf_helper_fn call;
};

#define BPF_TRACE_FORMAT_MAX 128u
#define BPF_TRACE_TEXT_MAX   256u

/* NULL if there is none of that number. */
const struct bpf_helper *bpf_helper_find(int32_t number);

/* How many of r3, r4, r5 a format of `size` bytes consumes; -1 when bpf_trace_printk would refuse it. */
int bpf_trace_arguments(const char *format, uint32_t size);

#endif
