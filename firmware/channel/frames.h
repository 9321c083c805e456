/*
 * Frames: COBS, CRC-32C, and a decoder that accepts any input. Builds for the kernel and, unchanged, for the host.
 *
 * On the wire: COBS(header | payload | [mac] | crc) 0x00 (contracts/wire/frames.py). 0x00 occurs nowhere else,
 * so after any damage the decoder is back in step at the next one.
 */
#ifndef ASSAY_CHANNEL_FRAMES_H
#define ASSAY_CHANNEL_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assay_messages.h"

#define FRAME_CRC_SIZE 4u
#define FRAME_BODY_MIN (sizeof(struct assay_frame_header) + FRAME_CRC_SIZE)
#define FRAME_BODY_MAX (FRAME_BODY_MIN + ASSAY_MAX_PAYLOAD + ASSAY_MAC_SIZE) /* before COBS */
#define FRAME_COBS_MAX (FRAME_BODY_MAX + FRAME_BODY_MAX / 254 + 1)
#define FRAME_WIRE_MAX (FRAME_COBS_MAX + 1) /* with its delimiter */

/* A decoded frame. Pointers are into the decoder and valid until its next push. */
struct frame {
    struct assay_frame_header header;
    const uint8_t *payload; /* 8-byte aligned */
    size_t payload_size;    /* at most ASSAY_MAX_PAYLOAD */
    const uint8_t *mac;     /* ASSAY_MAC_SIZE bytes, or null without ASSAY_FRAME_FLAG_MAC */
    const uint8_t *signed_bytes;
    size_t signed_size; /* header | payload: what the MAC is over */
    uint32_t crc;
};

struct frame_stats {
    uint32_t received;
    uint32_t crc_errors;
    uint32_t malformed; /* not COBS, too short, or flags that say something else than the length */
    uint32_t oversized;
};

struct frame_decoder {
    struct frame_stats stats;
    size_t used;     /* bytes in raw */
    bool discarding; /* this frame is too long already: wait for its end */
    uint8_t pad[7];  /* header at 4 mod 8, so that the payload is 8-byte aligned */
    uint32_t aligner;
    uint8_t raw[FRAME_COBS_MAX];
} __attribute__((aligned(8)));

/* CRC-32C (RFC 3720 appendix B.4) of `size` bytes, continuing from `crc` (0 at first). */
uint32_t frame_crc32c(uint32_t crc, const void *bytes, size_t size);

void frame_decoder_init(struct frame_decoder *decoder);

/*
 * Takes bytes until a good frame is whole (*ready, *out filled) or all are taken; returns how many were taken.
 * Anything else than a good frame is counted and dropped. Empty frames (0x00 0x00) are not counted.
 */
size_t frame_decoder_push(struct frame_decoder *decoder, const uint8_t *bytes, size_t size, struct frame *out,
                          bool *ready);

/*
 * Writes one frame without MAC into `out` (FRAME_WIRE_MAX bytes are always enough); returns its bytes on the wire.
 * Parts are concatenated to the payload; null parts must have size 0. 0 when they exceed ASSAY_MAX_PAYLOAD or
 * `out_size`.
 */
struct frame_part {
    const void *bytes;
    size_t size;
};
size_t frame_encode(const struct assay_frame_header *header, const struct frame_part *parts,
                    size_t part_count, uint8_t *out, size_t out_size);

#endif
