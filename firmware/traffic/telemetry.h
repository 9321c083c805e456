/* Counts of the kernel's traffic: counters, log2 histograms, heavy hitters. Also builds on the host. */
#ifndef ASSAY_TRAFFIC_TELEMETRY_H
#define ASSAY_TRAFFIC_TELEMETRY_H

#include <stdint.h>

#include "assay_ebpf.h"
#include "assay_messages.h"

/* Resets all counts. */
void telemetry_reset(void);

/*
 * Counts one received frame of `length` bytes that arrived at `arrival_ns` of virtual time; arrival times of one
 * replay never decrease. Reads nothing outside [frame, frame + length).
 */
void telemetry_packet(const uint8_t *frame, uint32_t length, uint64_t arrival_ns);

/* A replay begins: the next packet has no predecessor, so it adds no gap. */
void telemetry_trace_begins(void);

/* Counts the verdict of net_rx for a packet (XDP return codes; any other number counts as XDP_ABORTED). */
void telemetry_verdict(uint32_t verdict);

/* Everything counted since the last reset; top entries by packets, largest first, equal ones by address or port. */
void telemetry_fill(struct assay_telemetry_response *out);

#endif
