/* TRIAL: a dry run of an extension over an uploaded trace. */
#include "bpf/bpf.h"
#include "channel/channel.h"
#include "kernel/kernel.h"
#include "live/env.h"
#include "live/extension.h"
#include "live/invoke.h"
#include "live/packet.h"
#include "live/results.h"
#include "traffic/trace.h"

struct trial {
    struct extension *extension;
    bool interpret;
    uint32_t invocations, contained;
    struct pmu_cost max, total; /* of a call */
};

/* One call on `context`; false when it had to be contained. */
static bool call(struct trial *trial, void *context)
{
    struct extension *extension = trial->extension;
    struct invocation *invocation = invoke_here();
    bool clean;
    uint64_t verdict;
    struct pmu_window window = pmu_begin();
    if (trial->interpret) {
        struct interpreted out;
        extension->ops->interpret(extension, EXTENSION_TRIAL, context, &out);
        verdict = out.value;
        clean = out.fault == NULL;
    } else {
        const struct binding *binding = &extension->bindings[EXTENSION_TRIAL];
        verdict = invoke(invocation, extension, binding, context, 0, XDP_PASS);
        clean = invocation->cause == INVOKE_CLEAN;
    }
    struct pmu_cost cost = pmu_end(window);
    trial->invocations++;
    results_add((uint32_t)verdict, cost.instructions);
    if (!clean) {
        trial->contained++;
        return false;
    }
    trial->total = pmu_sum(trial->total, cost);
    trial->max = pmu_larger(trial->max, cost);
    return true;
}

_Static_assert(BPF_HOOKS_TRIALABLE == (1u << BPF_HOOK_NET_RX | 1u << BPF_HOOK_TIMER), "run_trial");

/* net_rx sees the packets; timer is called at each packet's time, with the gap to the one before as its period. */
static void run_trial(struct trial *trial, const struct trace *trace)
{
    struct trace_packet packet;
    size_t offset = 0;
    uint64_t before = trace->first_ns;
    bool clean = true;
    while (clean && trace_next(trace, &offset, &packet)) {
        env_virtual_time(packet.arrival_ns);
        if (trial->extension->slot.hook == BPF_HOOK_NET_RX) {
            struct bpf_xdp_ctx context;
            packet_receive(&packet, &context);
            clean = call(trial, &context);
        } else {
            struct bpf_timer_ctx context = {packet.arrival_ns, packet.arrival_ns - before};
            clean = call(trial, &context);
        }
        before = packet.arrival_ns;
    }
}

uint16_t handle_TRIAL(const uint8_t *request, size_t size, struct reply *reply)
{
    (void)size;
    const struct assay_trial_request *want = (const void *)request;
    struct extension *extension = extension_find(want->handle);
    if (extension == NULL || !bpf_hook_in(BPF_HOOKS_TRIALABLE, extension->slot.hook)) {
        return reply_refuse(reply, ASSAY_STATUS_BAD_ARGUMENT,
                            "TRIAL: expected: a loaded " BPF_HOOKS_TRIALABLE_TEXT " program, seen: %s %u",
                            extension == NULL ? "no program with handle" : "another hook's, handle",
                            want->handle);
    }
    if (want->mode > ASSAY_RUN_MODE_INTERPRET) {
        return reply_refuse(reply, ASSAY_STATUS_BAD_ARGUMENT, "TRIAL: expected: mode 0 or 1, seen: %u",
                            want->mode);
    }
    struct trace trace;
    uint16_t status = packet_open_trace(ASSAY_BLOB_TRIAL, "TRIAL", &trace, reply);
    if (status != ASSAY_STATUS_OK)
        return status;
    struct refusal refusal = {0};
    if (!extension->ops->trial(extension, &refusal))
        return reply_refuse(reply, refusal.status, "TRIAL: %s", refusal.text);

    struct trial trial = {.extension = extension, .interpret = want->mode == ASSAY_RUN_MODE_INTERPRET};
    extension->ops->clear(extension, EXTENSION_TRIAL);
    env_seed(extension->seed);
    results_begin(extension->handle);
    struct pmu_window window = pmu_begin();
    invoke_batch_begin();
    run_trial(&trial, &trace);
    invoke_batch_end();
    struct pmu_cost cost = pmu_end(window);
    env_real_time();

    struct assay_trial_response *body = reply_body(reply, sizeof(*body));
    body->invocations = trial.invocations;
    body->contained = trial.contained;
    body->instructions_max = trial.max.instructions;
    body->instructions_total = trial.total.instructions;
    body->trial_instructions = cost.instructions;
    body->ns_max = trial.max.ns;
    body->ns_total = trial.total.ns;
    body->trial_ns = cost.ns;
    return ASSAY_STATUS_OK;
}
