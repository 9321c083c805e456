/* REPLAY and TELEMETRY: an uploaded workload through telemetry and the live hooks, on virtual time. */
#include "channel/channel.h"
#include "kernel/kernel.h"
#include "live/config.h"
#include "live/env.h"
#include "live/hooks.h"
#include "live/invoke.h"
#include "live/packet.h"
#include "live/results.h"
#include "live/watch.h"
#include "traffic/telemetry.h"

#define TIMER_CALLS_MAX 100000u

struct replay {
    uint64_t period_ns; /* 0: the timer hook is not called */
    uint64_t next_timer_ns;
    uint32_t packets, timer_calls;
    uint32_t program_calls, contained, committed;
    struct pmu_cost max, total; /* of a program's call, dispatch included */
};

/* A call's share of what `calls` cost, rounded up. */
static uint64_t each(uint64_t cost, uint32_t calls)
{
    return (cost + calls - 1) / calls;
}

/* Takes one dispatch into account. What a contained call cost is in its event, not among the calls. */
static void count(struct replay *replay, const struct hook_calls *calls, struct pmu_cost cost)
{
    struct assay_commit_event event;
    invoke_counts.invocations += calls->calls;
    replay->program_calls += calls->calls;
    replay->contained += calls->contained;
    if (calls->calls != 0 && calls->contained == 0) {
        struct pmu_cost one = {each(cost.instructions, calls->calls), each(cost.ns, calls->calls)};
        replay->max = pmu_larger(replay->max, one);
        replay->total = pmu_sum(replay->total, cost);
    }
    if (watch_take_commit(&event)) {
        replay->committed++;
        (void)channel_event(ASSAY_EVENT_COMMIT, &event, sizeof(event), NULL, 0);
    }
}

/* Calls the timer hook for every period that has passed by `now_ns`. */
static void tick(struct replay *replay, uint64_t now_ns)
{
    while (replay->period_ns != 0 && replay->next_timer_ns <= now_ns &&
           replay->timer_calls < TIMER_CALLS_MAX) {
        struct bpf_timer_ctx context = {replay->next_timer_ns, replay->period_ns};
        struct hook_calls calls = {0};
        env_virtual_time(replay->next_timer_ns);
        struct pmu_window window = pmu_begin();
        (void)hooks_timer(&context, &calls);
        count(replay, &calls, pmu_end(window));
        replay->timer_calls++;
        replay->next_timer_ns += replay->period_ns;
    }
}

static void receive(struct replay *replay, const struct trace_packet *packet)
{
    struct bpf_xdp_ctx context;
    struct hook_calls calls = {0};
    telemetry_packet(packet->frame, packet->length, packet->arrival_ns);
    packet_receive(packet, &context);
    env_virtual_time(packet->arrival_ns);
    struct pmu_window window = pmu_begin();
    uint32_t verdict = hooks_net_rx(&context, &calls);
    struct pmu_cost cost = pmu_end(window);
    count(replay, &calls, cost);
    telemetry_verdict(verdict);
    results_add(verdict, cost.instructions);
    replay->packets++;
}

/* One sequence for the whole replay, from the seeds of what is deployed. */
static uint64_t deployed_seed(void)
{
    const struct live_config *config = config_active();
    uint64_t seed = 0;
    for (uint32_t hook = 0; hook < BPF_HOOK_COUNT; hook++) {
        for (uint32_t i = 0; i < config->hooks[hook].count; i++)
            seed = seed * 31 + config->hooks[hook].extensions[i]->seed;
    }
    return seed;
}

uint16_t handle_REPLAY(const uint8_t *request, size_t size, struct reply *reply)
{
    (void)size;
    const struct assay_replay_request *want = (const void *)request;
    struct trace trace;
    uint16_t status = packet_open_trace(ASSAY_BLOB_WORKLOAD, "REPLAY", &trace, reply);
    if (status != ASSAY_STATUS_OK)
        return status;
    uint64_t duration = trace.last_ns - trace.first_ns;
    if (want->timer_period_ns != 0 && duration / want->timer_period_ns >= TIMER_CALLS_MAX) {
        return reply_refuse(reply, ASSAY_STATUS_BAD_ARGUMENT,
                            "REPLAY: expected: a timer period that fits less than %u times "
                            "into %lu ns, seen: %lu",
                            TIMER_CALLS_MAX, (unsigned long)duration, (unsigned long)want->timer_period_ns);
    }

    struct replay replay = {.period_ns = want->timer_period_ns,
                            .next_timer_ns = trace.first_ns + want->timer_period_ns};
    uint32_t rollbacks = config_rollbacks();
    struct trace_packet packet;
    size_t offset = 0;
    env_seed(deployed_seed());
    telemetry_trace_begins();
    results_begin(0);
    struct pmu_window window = pmu_begin();
    invoke_batch_begin();
    while (trace_next(&trace, &offset, &packet)) {
        tick(&replay, packet.arrival_ns);
        receive(&replay, &packet);
    }
    invoke_batch_end();
    struct pmu_cost cost = pmu_end(window);
    env_real_time();

    struct assay_replay_response *body = reply_body(reply, sizeof(*body));
    body->packets = replay.packets;
    body->program_invocations = replay.program_calls;
    body->timer_invocations = replay.timer_calls;
    body->rollbacks = config_rollbacks() - rollbacks;
    body->contained = replay.contained;
    body->committed = replay.committed;
    body->generation = config_generation();
    body->instructions_max = replay.max.instructions;
    body->instructions_total = replay.total.instructions;
    body->replay_instructions = cost.instructions;
    body->virtual_ns = duration;
    body->ns_max = replay.max.ns;
    body->ns_total = replay.total.ns;
    body->replay_ns = cost.ns;
    return ASSAY_STATUS_OK;
}

uint16_t handle_TELEMETRY(const uint8_t *request, size_t size, struct reply *reply)
{
    (void)request, (void)size;
    telemetry_fill(reply_body(reply, sizeof(struct assay_telemetry_response)));
    return ASSAY_STATUS_OK;
}
