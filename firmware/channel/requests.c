/* The messages that are the channel's own: hello, session, echo, status, pristine, power-off. */
#include <string.h>

#include "channel/channel.h"
#include "channel/channel_internal.h"
#include "channel/dispatch.h"
#include "channel/plant.h"
#include "channel/session.h"
#include "channel/uploads.h"

__attribute__((weak)) void live_pristine(void) {}

__attribute__((weak)) void live_status(struct assay_status_response *status)
{
    (void)status;
}

uint16_t handle_HELLO(const uint8_t *request, size_t size, struct reply *reply)
{
    (void)size;
    const struct assay_hello_request *hello = (const void *)request;
    if (hello->protocol != ASSAY_PROTOCOL_VERSION) {
        return reply_refuse(reply, ASSAY_STATUS_BAD_VERSION, "expected: protocol %u, seen: %u",
                            ASSAY_PROTOCOL_VERSION, hello->protocol);
    }
    struct assay_hello_response *body = reply_body(reply, sizeof(*body));
    body->protocol = ASSAY_PROTOCOL_VERSION;
    body->abi = ASSAY_ABI_VERSION;
    body->max_payload = ASSAY_MAX_PAYLOAD;
    body->credits = ASSAY_CREDITS;
    body->flags = (build_is_testing ? ASSAY_BOARD_TESTING : 0) |
                  (build_key_is_development ? ASSAY_BOARD_DEVELOPMENT_KEY : 0) |
                  (pmu_counts_instructions() ? ASSAY_BOARD_INSTRUCTION_COUNTER : 0) |
                  (pmu_takes_time() ? ASSAY_BOARD_TIME_COUNTER : 0);
    body->cores = (uint32_t)__builtin_popcount(cpu_cores_online());
    body->counter_hz = timer_frequency_hz();
    body->epoch = session_epoch();
    body->image_max = ASSAY_IMAGE_MAX;
    body->trace_max = ASSAY_TRACE_MAX;
    memcpy(body->board_nonce, session_make_nonce(hello->host_nonce), sizeof(body->board_nonce));
    memcpy(body->build_id, build_id(), sizeof(body->build_id));
    size_t length = strlen(build_board);
    memcpy(body->board, build_board, length < sizeof(body->board) ? length : sizeof(body->board) - 1);
    return ASSAY_STATUS_OK;
}

uint16_t handle_OPEN(const uint8_t *request, size_t size, struct reply *reply)
{
    (void)size;
    const struct assay_open_request *open = (const void *)request;
    uint16_t status;
    uint32_t number = session_open(open, dispatch_sequence(), &status);
    if (status == ASSAY_STATUS_BAD_STATE)
        return reply_refuse(reply, status, "expected: HELLO before OPEN, for a fresh board nonce");
    if (status == ASSAY_STATUS_BAD_MAC) {
        return reply_refuse(reply, status,
                            "the proof is not this kernel's: it was built with another "
                            "channel key, or another HELLO came between");
    }
    if (status == ASSAY_STATUS_STALE_EPOCH) {
        return reply_refuse(reply, status, "expected: epoch %u or above, seen: %u", session_epoch(),
                            open->epoch);
    }
    struct assay_open_response *body = reply_body(reply, sizeof(*body));
    body->session = number;
    return ASSAY_STATUS_OK;
}

uint16_t handle_ECHO(const uint8_t *request, size_t size, struct reply *reply)
{
    PLANT_HANG();
    if (!reply_append(reply, request, size)) {
        return reply_refuse(reply, ASSAY_STATUS_BAD_LENGTH, "expected: at most %u bytes to echo, seen: %u",
                            (uint32_t)REPLY_MAX, (uint32_t)size);
    }
    return ASSAY_STATUS_OK;
}

uint16_t handle_STATUS(const uint8_t *request, size_t size, struct reply *reply)
{
    (void)request, (void)size;
    struct assay_status_response *body = reply_body(reply, sizeof(*body));
    live_status(body);
    channel_frame_status(body);
    body->measure_overhead = pmu_overhead();
    body->measure_overhead_ns = pmu_overhead_ns();
    body->online_cores = (uint32_t)__builtin_popcount(cpu_cores_online());
    return ASSAY_STATUS_OK;
}

uint16_t handle_PRISTINE(const uint8_t *request, size_t size, struct reply *reply)
{
    (void)request, (void)size, (void)reply;
    live_pristine();
    uploads_pristine();
    return ASSAY_STATUS_OK;
}

static void end_of_power(void)
{
    uart_flush();
    power_off();
}

uint16_t handle_POWER_OFF(const uint8_t *request, size_t size, struct reply *reply)
{
    (void)request, (void)size, (void)reply;
    channel_after_reply(end_of_power);
    return ASSAY_STATUS_OK;
}
