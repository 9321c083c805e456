/* The records of the last trial or replay, in the arena, and RESULTS. */
#include "live/results.h"

#include "channel/channel.h"
#include "live/arena.h"
#include "traffic/trace.h"

_Static_assert(TRACE_PACKETS_MAX * sizeof(struct assay_result_record) <= ARENA_RESULTS_SIZE, "results");

static struct {
    bool any;
    uint32_t handle; /* 0: of a replay */
    uint32_t count;
} results;

static struct assay_result_record *records(void)
{
    return (struct assay_result_record *)(arena_pool() + ARENA_RESULTS_OFFSET);
}

void results_clear(void)
{
    results.any = false;
    results.count = 0;
}

void results_begin(uint32_t handle)
{
    results.any = true;
    results.handle = handle;
    results.count = 0;
}

void results_add(uint32_t verdict, uint64_t instructions)
{
    if (results.count == TRACE_PACKETS_MAX)
        return;
    records()[results.count].verdict = verdict;
    records()[results.count].instructions = instructions < UINT32_MAX ? (uint32_t)instructions : UINT32_MAX;
    results.count++;
}

/* Handle 0 asks for the last replay's: a record a packet, its verdict and the cost of its whole hook. */
uint16_t handle_RESULTS(const uint8_t *request, size_t size, struct reply *reply)
{
    (void)size;
    const struct assay_read_request *want = (const void *)request;
    if (!results.any || results.handle != want->handle) {
        return reply_refuse(reply, ASSAY_STATUS_BAD_STATE,
                            "RESULTS: expected: handle %u, whose results are the last, seen: %u",
                            results.any ? results.handle : 0, want->handle);
    }
    uint32_t total = results.count * (uint32_t)sizeof(struct assay_result_record);
    if (want->offset > total) {
        return reply_refuse(reply, ASSAY_STATUS_BAD_ARGUMENT,
                            "RESULTS: expected: an offset up to %u, seen: %u", total, want->offset);
    }
    struct assay_read_response *body = reply_body(reply, sizeof(*body));
    body->total = total;
    size_t room = reply_room(reply) / sizeof(struct assay_result_record) * sizeof(struct assay_result_record);
    size_t left = total - want->offset;
    (void)reply_append(reply, (const uint8_t *)records() + want->offset, left < room ? left : room);
    return ASSAY_STATUS_OK;
}
