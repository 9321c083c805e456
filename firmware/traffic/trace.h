/* A workload trace in memory: checked once as a whole, then walked. Builds on the host too. */
#ifndef ASSAY_TRAFFIC_TRACE_H
#define ASSAY_TRAFFIC_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assay_messages.h"

#define TRACE_FRAME_MIN   14u
#define TRACE_FRAME_MAX   1514u
#define TRACE_PACKETS_MAX (ASSAY_TRACE_MAX / 32u) /* of 16 bytes and a frame of at least 16, padded */

/* A trace that trace_open accepted; valid as long as its bytes stay as they are. */
struct trace {
    const uint8_t *bytes;
    size_t size;
    uint32_t packets;
    uint64_t first_ns, last_ns; /* arrival of the first and the last packet; 0 for an empty trace */
};

/* Why a trace is refused. */
struct trace_error {
    uint32_t packet;      /* number of the record, from 0 */
    size_t offset;        /* of that record */
    const char *expected; /* static text */
    uint64_t seen;
};

struct trace_packet {
    uint64_t arrival_ns;
    uint32_t length;
    const uint8_t *frame; /* 8-byte aligned when the trace is */
};

/*
 * Checks every record of the `size` bytes: lengths TRACE_FRAME_MIN to TRACE_FRAME_MAX, reserved and padding zero,
 * arrival times that never decrease, nothing left over. False: *error says where and what.
 */
bool trace_open(struct trace *trace, const uint8_t *bytes, size_t size, struct trace_error *error);

/* The packet at `*offset` (0 at first), which is moved past it; false at the end. */
bool trace_next(const struct trace *trace, size_t *offset, struct trace_packet *packet);

#endif
