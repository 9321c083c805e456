/* The upload buffers and their three messages. See uploads.h and channel.h. */
#include "channel/uploads.h"

#include <string.h>

#include "channel/channel.h"
#include "channel/frames.h"
#include "kernel/memory.h"

_Static_assert(ASSAY_IMAGE_MAX <= BLOB_POOL_SIZE, "the image buffer is larger than its pool");
_Static_assert(2 * ASSAY_TRACE_MAX <= TRACE_POOL_SIZE, "the trace buffers are larger than their pool");

struct upload {
    uint32_t size;    /* announced; 0: none */
    uint32_t crc;     /* announced */
    uint32_t written; /* bytes that arrived, repeats counted again */
    bool whole;
};

static struct upload uploads[ASSAY_BLOB_TRIAL + 1]; /* indexed by kind; 0 stays unused */

static struct upload *upload_of(uint32_t kind)
{
    return kind >= ASSAY_BLOB_IMAGE && kind <= ASSAY_BLOB_TRIAL ? &uploads[kind] : NULL;
}

static uint8_t *buffer_of(uint32_t kind)
{
    if (kind == ASSAY_BLOB_IMAGE)
        return blob_pool();
    return trace_pool() + (kind == ASSAY_BLOB_TRIAL ? ASSAY_TRACE_MAX : 0);
}

static uint32_t limit_of(uint32_t kind)
{
    return kind == ASSAY_BLOB_IMAGE ? ASSAY_IMAGE_MAX : ASSAY_TRACE_MAX;
}

static uint16_t refuse_kind(struct reply *reply, uint32_t kind)
{
    return reply_refuse(reply, ASSAY_STATUS_BAD_ARGUMENT,
                        "expected: blob kind 1 (image), 2 (workload) or 3 (trial), seen: %u", kind);
}

uint16_t handle_BLOB_BEGIN(const uint8_t *request, size_t size, struct reply *reply)
{
    (void)size;
    const struct assay_blob_begin_request *begin = (const void *)request;
    struct upload *upload = upload_of(begin->kind);
    if (upload == NULL)
        return refuse_kind(reply, begin->kind);
    if (begin->size == 0 || begin->size > limit_of(begin->kind)) {
        return reply_refuse(reply, ASSAY_STATUS_BAD_ARGUMENT,
                            "expected: 1 to %u bytes for blob kind %u, seen: %u", limit_of(begin->kind),
                            begin->kind, begin->size);
    }
    *upload = (struct upload){.size = begin->size, .crc = begin->crc};
    return ASSAY_STATUS_OK;
}

uint16_t handle_BLOB_WRITE(const uint8_t *request, size_t size, struct reply *reply)
{
    const struct assay_blob_write_request *write = (const void *)request;
    struct upload *upload = upload_of(write->kind);
    if (upload == NULL)
        return refuse_kind(reply, write->kind);
    if (upload->size == 0 || upload->whole) {
        return reply_refuse(reply, ASSAY_STATUS_BAD_STATE,
                            "expected: BLOB_BEGIN for blob kind %u before a write", write->kind);
    }
    uint32_t count = (uint32_t)(size - sizeof(*write));
    if (write->offset > upload->size || count > upload->size - write->offset) {
        return reply_refuse(reply, ASSAY_STATUS_BAD_ARGUMENT,
                            "expected: bytes within the %u announced, seen: %u at offset %u", upload->size,
                            count, write->offset);
    }
    memcpy(buffer_of(write->kind) + write->offset, request + sizeof(*write), count);
    upload->written += count;
    return ASSAY_STATUS_OK;
}

uint16_t handle_BLOB_END(const uint8_t *request, size_t size, struct reply *reply)
{
    (void)size;
    const struct assay_blob_end_request *end = (const void *)request;
    struct upload *upload = upload_of(end->kind);
    if (upload == NULL)
        return refuse_kind(reply, end->kind);
    if (upload->size == 0) {
        return reply_refuse(reply, ASSAY_STATUS_BAD_STATE,
                            "expected: BLOB_BEGIN for blob kind %u before its end", end->kind);
    }
    uint32_t crc = frame_crc32c(0, buffer_of(end->kind), upload->size);
    if (crc != upload->crc) {
        return reply_refuse(reply, ASSAY_STATUS_BAD_STATE,
                            "expected: CRC-32C %08x over %u bytes, seen: %08x after %u bytes written",
                            upload->crc, upload->size, crc, upload->written);
    }
    upload->whole = true;
    return ASSAY_STATUS_OK;
}

const uint8_t *channel_blob(uint32_t kind, size_t *size)
{
    const struct upload *upload = upload_of(kind);
    if (upload == NULL || !upload->whole)
        return NULL;
    *size = upload->size;
    return buffer_of(kind);
}

void channel_blob_drop(uint32_t kind)
{
    struct upload *upload = upload_of(kind);
    if (upload != NULL)
        *upload = (struct upload){0};
}

void uploads_pristine(void)
{
    for (uint32_t kind = ASSAY_BLOB_IMAGE; kind <= ASSAY_BLOB_TRIAL; kind++)
        channel_blob_drop(kind);
}
