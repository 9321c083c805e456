/* COBS and CRC-32C, both directions. See frames.h. */
#include "channel/frames.h"

#include <string.h>

_Static_assert(offsetof(struct frame_decoder, raw) % 8 == 4, "the payload would not be 8-byte aligned");
_Static_assert((sizeof(struct assay_frame_header) + 4) % 8 == 0, "the payload would not be 8-byte aligned");

#if defined(__ARM_FEATURE_CRC32)

static uint32_t crc_byte(uint32_t crc, uint8_t byte)
{
    return __builtin_arm_crc32cb(crc, byte);
}

#else

/* Reflected polynomial of CRC-32C, a nibble at a time. */
static uint32_t crc_byte(uint32_t crc, uint8_t byte)
{
    static const uint32_t table[16] = {
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    crc ^= byte;
    crc = (crc >> 4) ^ table[crc & 15];
    return (crc >> 4) ^ table[crc & 15];
}

#endif

uint32_t frame_crc32c(uint32_t crc, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;
    crc = ~crc;
    for (size_t i = 0; i < size; i++)
        crc = crc_byte(crc, at[i]);
    return ~crc;
}

void frame_decoder_init(struct frame_decoder *decoder)
{
    memset(decoder, 0, sizeof(*decoder));
}

/* Decodes COBS in place (the output never overtakes the input). Returns the decoded size, or 0 if it is no COBS. */
static size_t cobs_decode(uint8_t *raw, size_t size)
{
    size_t in = 0;
    size_t out = 0;
    while (in < size) {
        size_t run = raw[in++]; /* never 0: that is the delimiter */
        if (run == 0 || run - 1 > size - in)
            return 0;
        for (size_t i = 1; i < run; i++)
            raw[out++] = raw[in++];
        if (run < 0xff && in < size)
            raw[out++] = 0;
    }
    return out;
}

/* Judges the whole frame in `raw`. True: it is good, and `out` describes it. */
static bool frame_parse(struct frame_decoder *decoder, struct frame *out)
{
    struct frame_stats *stats = &decoder->stats;
    size_t size = cobs_decode(decoder->raw, decoder->used);
    if (size < FRAME_BODY_MIN) {
        stats->malformed++;
        return false;
    }
    size -= FRAME_CRC_SIZE;
    memcpy(&out->crc, decoder->raw + size, FRAME_CRC_SIZE);
    if (out->crc != frame_crc32c(0, decoder->raw, size)) {
        stats->crc_errors++;
        return false;
    }
    memcpy(&out->header, decoder->raw, sizeof(out->header));
    bool has_mac = (out->header.flags & ASSAY_FRAME_FLAG_MAC) != 0;
    size_t mac_size = has_mac ? ASSAY_MAC_SIZE : 0;
    if ((out->header.flags & ~ASSAY_FRAME_FLAG_MAC) != 0 || size < sizeof(out->header) + mac_size ||
        size - sizeof(out->header) - mac_size > ASSAY_MAX_PAYLOAD) {
        stats->malformed++;
        return false;
    }
    out->signed_bytes = decoder->raw;
    out->signed_size = size - mac_size;
    out->mac = has_mac ? decoder->raw + out->signed_size : NULL;
    out->payload = decoder->raw + sizeof(out->header);
    out->payload_size = out->signed_size - sizeof(out->header);
    stats->received++;
    return true;
}

size_t frame_decoder_push(struct frame_decoder *decoder, const uint8_t *bytes, size_t size, struct frame *out,
                          bool *ready)
{
    *ready = false;
    for (size_t taken = 0; taken < size;) {
        uint8_t byte = bytes[taken++];
        if (byte != 0) {
            if (decoder->used < sizeof(decoder->raw)) {
                decoder->raw[decoder->used++] = byte;
            } else if (!decoder->discarding) {
                decoder->discarding = true;
                decoder->stats.oversized++;
            }
            continue;
        }
        bool judge = decoder->used > 0 && !decoder->discarding;
        *ready = judge && frame_parse(decoder, out);
        decoder->used = 0;
        decoder->discarding = false;
        if (*ready)
            return taken;
    }
    return size;
}

/* Where COBS output goes: the byte that will hold the running block's length, and the next free one. */
struct cobs_writer {
    uint8_t *out;
    size_t code_at;
    size_t at;
};

static void cobs_put(struct cobs_writer *writer, const void *bytes, size_t size)
{
    const uint8_t *in = bytes;
    for (size_t i = 0; i < size; i++) {
        if (in[i] != 0)
            writer->out[writer->at++] = in[i];
        if (in[i] == 0 || writer->at - writer->code_at == 0xff) {
            writer->out[writer->code_at] = (uint8_t)(writer->at - writer->code_at);
            writer->code_at = writer->at++;
        }
    }
}

size_t frame_encode(const struct assay_frame_header *header, const struct frame_part *parts,
                    size_t part_count, uint8_t *out, size_t out_size)
{
    size_t payload_size = 0;
    for (size_t i = 0; i < part_count; i++) {
        if (parts[i].size > ASSAY_MAX_PAYLOAD - payload_size)
            return 0;
        payload_size += parts[i].size;
    }
    size_t body = FRAME_BODY_MIN + payload_size;
    if (body + body / 254 + 2 > out_size)
        return 0;
    struct cobs_writer writer = {.out = out, .code_at = 0, .at = 1};
    uint32_t crc = frame_crc32c(0, header, sizeof(*header));
    cobs_put(&writer, header, sizeof(*header));
    for (size_t i = 0; i < part_count; i++) {
        crc = frame_crc32c(crc, parts[i].bytes, parts[i].size);
        cobs_put(&writer, parts[i].bytes, parts[i].size);
    }
    cobs_put(&writer, &crc, sizeof(crc));
    out[writer.code_at] = (uint8_t)(writer.at - writer.code_at);
    out[writer.at++] = 0;
    return writer.at;
}
