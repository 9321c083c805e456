/*
 * The kernel side of the debug channel: the interface for message handlers and for the rest of the kernel.
 *
 * A request is acted on once its whole frame has arrived; handlers run one at a time, on the boot core's kernel
 * stack with IRQs on, out of channel_poll. The frame's checks (CRC, MAC, session, freshness, length) are done
 * before a handler is called, so a handler looks at its own arguments only. Nothing here allocates.
 *
 *     uint16_t handle_DEPLOY(const uint8_t *request, size_t size, struct reply *reply)
 *     {
 *         const struct assay_deploy_request *want = (const void *)request;
 *         if (want->handle >= PROGRAMS)
 *             return reply_refuse(reply, ASSAY_STATUS_BAD_ARGUMENT, "expected: a handle below %u, seen: %u", ...);
 *         struct assay_swap_response *body = reply_body(reply, sizeof(*body));
 *         body->generation = ...;
 *         return ASSAY_STATUS_OK;
 *     }
 */
#ifndef ASSAY_CHANNEL_CHANNEL_H
#define ASSAY_CHANNEL_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assay_messages.h"
#include "kernel/kernel.h"

/* ---- handlers --------------------------------------------------------------------------------------------------- */

#define REPLY_MAX (ASSAY_MAX_PAYLOAD - sizeof(struct assay_response_header))

/* A response under construction: the bytes after its ResponseHeader. Empty when the handler is called. */
struct reply {
    size_t size;             /* bytes used, at most REPLY_MAX */
    uint8_t body[REPLY_MAX]; /* 8-byte aligned */
} __attribute__((aligned(8)));

/*
 * One function a message of contracts/wire, named handle_<NAME> (handle_LOAD, handle_READ_CODE, ...).
 * `request` is the request record (8-byte aligned); `size` its bytes, tail included: exactly the record's size for
 * records without a tail, at least that for those with one. Both are valid during the call only. Returns an
 * ASSAY_STATUS_*; anything but OK comes with a text (reply_refuse), never with a body. A message whose handler is
 * not linked is answered UNKNOWN_MESSAGE.
 */
typedef uint16_t channel_handler(const uint8_t *request, size_t size, struct reply *reply);

#define CHANNEL_DECLARE_HANDLER(name, number, request_size, tail, authenticated)                             \
    channel_handler handle_##name;
ASSAY_MESSAGES(CHANNEL_DECLARE_HANDLER)
#undef CHANNEL_DECLARE_HANDLER

/* Appends `size` zeroed bytes to the reply and returns them; null (and nothing appended) when they do not fit. */
void *reply_body(struct reply *reply, size_t size);

/* Appends a copy of `size` bytes; false (and nothing appended) when they do not fit. */
bool reply_append(struct reply *reply, const void *data, size_t size);

/* Bytes that still fit. */
static inline size_t reply_room(const struct reply *reply)
{
    return REPLY_MAX - reply->size;
}

/* Replaces the body by `length` bytes of text already written to it; returns `status`. See reply_refuse. */
uint16_t reply_text(struct reply *reply, uint16_t status, int length);

/* Replaces the body by a formatted text (see format: "expected: ..., seen: ..."); the value is `status`. */
#define reply_refuse(reply, status, ...)                                                                     \
    reply_text((reply), (uint16_t)(status), format((char *)(reply)->body, (uint32_t)REPLY_MAX, __VA_ARGS__))

/* ---- events ----------------------------------------------------------------------------------------------------- */

/*
 * Queues an unsolicited event (ASSAY_EVENT_*, its record, then `tail`). The queue is sent after the current
 * command's reply, never during it, so that a measured window holds no UART traffic; with no command in progress it
 * is sent at the next channel_poll. False when the queue is full: the event is dropped and counted in the status.
 * Any context of the boot core, interrupt handlers included.
 */
bool channel_event(uint16_t event, const void *record, size_t record_size, const void *tail,
                   size_t tail_size);

/* A LOG event of text that need not be terminated. Level: 0 debug, 1 info, 2 warning, 3 error, 4 bpf_trace_printk. */
enum channel_log_level { LOG_DEBUG = 0, LOG_INFO = 1, LOG_WARNING = 2, LOG_ERROR = 3, LOG_TRACE = 4 };
bool channel_log(enum channel_log_level level, const char *text, size_t length);

/* ---- uploads ---------------------------------------------------------------------------------------------------- */

/*
 * The finished upload of a kind (ASSAY_BLOB_*): 8-byte aligned, its CRC checked by BLOB_END. Null when there is
 * none or a newer one has begun. Stays until the next BLOB_BEGIN of that kind, channel_blob_drop or PRISTINE.
 * IMAGE is in the first ASSAY_IMAGE_MAX bytes of blob_pool(), WORKLOAD and TRIAL in the first and second
 * ASSAY_TRACE_MAX bytes of trace_pool(); the rest of both pools is free for others.
 */
const uint8_t *channel_blob(uint32_t kind, size_t *size);

/* Drops an upload, finished or not. */
void channel_blob_drop(uint32_t kind);

/* ---- functions that other folders provide (weak defaults do nothing) -------------------------------------------------- */

/* Resets to the state after boot: nothing loaded, hooks empty, maps freed, telemetry zero. For PRISTINE. */
void live_pristine(void);

/* Fills the fields of STATUS that are live's: generation ... watch_remaining, and both pools. */
void live_status(struct assay_status_response *status);

#endif
