/* Packets of an uploaded trace, as net_rx sees them. */
#ifndef ASSAY_LIVE_PACKET_H
#define ASSAY_LIVE_PACKET_H

#include "bpf/bpf.h"
#include "channel/channel.h"
#include "traffic/trace.h"

/*
 * Copies a frame into the receive buffer (always the same one, so a program that writes to its packet leaves the
 * upload as it was) and fills net_rx's context.
 */
void packet_receive(const struct trace_packet *packet, struct bpf_xdp_ctx *context);

/* The checked trace of an upload (ASSAY_BLOB_WORKLOAD or _TRIAL); anything but OK is the refusal of `what`. */
uint16_t packet_open_trace(uint32_t blob, const char *what, struct trace *trace, struct reply *reply);

#endif
