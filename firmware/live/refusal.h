/* The reason of a refusal: a status and a text. */
#ifndef ASSAY_LIVE_REFUSAL_H
#define ASSAY_LIVE_REFUSAL_H

#include <stdint.h>

#include "bpf/bpf.h"
#include "kernel/kernel.h"

/* Empty unless refused. */
struct refusal {
    uint16_t status; /* ASSAY_STATUS_* */
    char text[BPF_REASON_SIZE + 64];
};

/* Fills the refusal in, the words as `format` does; the value is false, for a caller to return. */
#define refuse(refusal, number, ...)                                                                         \
    ((refusal)->status = (uint16_t)(number),                                                                 \
     (void)format((refusal)->text, (uint32_t)sizeof((refusal)->text), __VA_ARGS__), false)

#endif
