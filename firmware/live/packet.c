/* The receive buffer, and the way from an upload to a trace. */
#include "live/packet.h"

#include <string.h>

static uint8_t receive_buffer[TRACE_FRAME_MAX + 6] __attribute__((aligned(64)));

void packet_receive(const struct trace_packet *packet, struct bpf_xdp_ctx *context)
{
    memcpy(receive_buffer, packet->frame, packet->length);
    *context = (struct bpf_xdp_ctx){
        .data = (uint64_t)(uintptr_t)receive_buffer,
        .data_end = (uint64_t)(uintptr_t)receive_buffer + packet->length,
        .data_meta = (uint64_t)(uintptr_t)receive_buffer,
        .ingress_ifindex = 1,
    };
}

uint16_t packet_open_trace(uint32_t blob, const char *what, struct trace *trace, struct reply *reply)
{
    size_t size = 0;
    const uint8_t *bytes = channel_blob(blob, &size);
    if (bytes == NULL) {
        return reply_refuse(reply, ASSAY_STATUS_BAD_STATE,
                            "%s: expected: a finished trace upload of kind %u, seen: none", what, blob);
    }
    struct trace_error error = {0};
    if (trace_open(trace, bytes, size, &error))
        return ASSAY_STATUS_OK;
    return reply_refuse(reply, ASSAY_STATUS_BAD_ARGUMENT,
                        "%s: packet %u at byte %lu: expected: %s, seen: %lu", what, error.packet,
                        (unsigned long)error.offset, error.expected, (unsigned long)error.seen);
}
