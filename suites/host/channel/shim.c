/* The kernel's frame layer for the host tests: whole buffers in, frames and counters out. */
#include <string.h>

#include "channel/frames.h"

size_t shim_encode(const uint8_t *header, const uint8_t *payload, size_t split, size_t size, uint8_t *out,
                   size_t out_size)
{
    struct assay_frame_header lead;
    memcpy(&lead, header, sizeof(lead));
    struct frame_part parts[] = {{payload, split}, {payload + split, size - split}};
    return frame_encode(&lead, parts, 2, out, out_size);
}

/*
 * Decodes `size` bytes given in pieces of `step`. For each frame: size of header | payload | mac (4 bytes, native),
 * then those bytes. Returns the bytes written to `out`; `stats` gets the four counters.
 */
size_t shim_decode(const uint8_t *bytes, size_t size, size_t step, uint8_t *out, struct frame_stats *stats)
{
    static struct frame_decoder decoder;
    size_t written = 0;
    frame_decoder_init(&decoder);
    for (size_t at = 0; at < size;) {
        struct frame frame;
        bool ready;
        size_t piece = size - at < step ? size - at : step;
        at += frame_decoder_push(&decoder, bytes + at, piece, &frame, &ready);
        if (!ready)
            continue;
        uint32_t total = (uint32_t)(frame.signed_size + (frame.mac != NULL ? ASSAY_MAC_SIZE : 0));
        memcpy(out + written, &total, sizeof(total));
        memcpy(out + written + sizeof(total), frame.signed_bytes, total);
        written += sizeof(total) + total;
        if (((uintptr_t)frame.payload & 7) != 0 || frame.payload_size > ASSAY_MAX_PAYLOAD ||
            (frame.mac != NULL && frame.mac != frame.signed_bytes + frame.signed_size)) {
            return SIZE_MAX;
        }
    }
    *stats = decoder.stats;
    return written;
}
