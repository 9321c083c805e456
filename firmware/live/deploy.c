/* DEPLOY and ROLLBACK, and live's part in STATUS, PRISTINE and boot. */
#include "channel/channel.h"
#include "kernel/kernel.h"
#include "live/code.h"
#include "live/config.h"
#include "live/env.h"
#include "live/extension.h"
#include "live/invoke.h"
#include "live/maps.h"
#include "live/results.h"
#include "live/watch.h"
#include "traffic/telemetry.h"

/* Everything from the checks to the store-release: the cost of a swap for its caller. */
static bool deploy(struct extension *extension, uint32_t watch_invocations, struct refusal *refusal)
{
    if (!extension->ops->bind(extension, config_extension_at(extension->slot), refusal))
        return false;
    config_deploy(extension);
    watch_open(extension, watch_invocations, config_generation());
    return true;
}

static uint16_t swapped(struct reply *reply, struct pmu_cost cost)
{
    struct assay_swap_response *body = reply_body(reply, sizeof(*body));
    body->generation = config_generation();
    body->rollback_depth = config_depth();
    body->swap_instructions = cost.instructions;
    body->swap_ns = cost.ns;
    return ASSAY_STATUS_OK;
}

static void report_commit(void)
{
    struct assay_commit_event event;
    if (watch_take_commit(&event))
        (void)channel_event(ASSAY_EVENT_COMMIT, &event, sizeof(event), NULL, 0);
}

uint16_t handle_DEPLOY(const uint8_t *request, size_t size, struct reply *reply)
{
    (void)size;
    const struct assay_deploy_request *want = (const void *)request;
    struct extension *extension = extension_find(want->handle);
    if (extension == NULL) {
        return reply_refuse(reply, ASSAY_STATUS_BAD_ARGUMENT,
                            "DEPLOY: expected: a loaded program, seen: handle %u", want->handle);
    }
    const char *fault = config_deploy_fault(extension);
    if (fault != NULL)
        return reply_refuse(reply, ASSAY_STATUS_BAD_STATE, "DEPLOY: expected: %s", fault);
    struct refusal refusal = {0};
    struct pmu_window window = pmu_begin();
    bool good = deploy(extension, want->watch_invocations, &refusal);
    struct pmu_cost cost = pmu_end(window);
    if (!good)
        return reply_refuse(reply, refusal.status, "DEPLOY: %s", refusal.text);
    report_commit();
    return swapped(reply, cost);
}

uint16_t handle_ROLLBACK(const uint8_t *request, size_t size, struct reply *reply)
{
    (void)request, (void)size;
    struct pmu_window window = pmu_begin();
    bool good = config_take_back(NULL);
    struct pmu_cost cost = pmu_end(window);
    if (!good) {
        return reply_refuse(reply, ASSAY_STATUS_BAD_STATE,
                            "ROLLBACK: expected: a rollback point, seen: none");
    }
    watch_close(NULL);
    struct assay_rollback_event event = {
        .cause = ASSAY_ROLLBACK_CAUSE_REQUEST,
        .generation = config_generation(),
        .rollback_instructions = cost.instructions,
        .rollback_ns = cost.ns,
    };
    (void)channel_event(ASSAY_EVENT_ROLLBACK, &event, sizeof(event), NULL, 0);
    return swapped(reply, cost);
}

void live_status(struct assay_status_response *status)
{
    status->generation = config_generation();
    status->rollback_depth = config_depth();
    status->loaded_programs = extensions_loaded();
    status->deployed_programs = config_deployed();
    status->invocations = invoke_counts.invocations;
    status->faults_contained = invoke_counts.faults;
    status->overruns_contained = invoke_counts.overruns;
    status->rollbacks = config_rollbacks();
    status->watch_remaining = watch_remaining();
    status->map_pool_used = (uint32_t)maps_pool.used;
    status->map_pool_size = (uint32_t)maps_pool.size;
    status->code_pool_used = (uint32_t)code_pool.used;
    status->code_pool_size = (uint32_t)code_pool.size;
}

static void start_afresh(void)
{
    config_init();
    watch_init();
    maps_init();
    extensions_init();
    results_clear();
    telemetry_reset();
    env_real_time();
    env_seed(0);
    invoke_counts = (struct invoke_counts){0};
}

/* Frees everything one by one before the reset, so that a leak is detected here. */
void live_pristine(void)
{
    config_init();
    watch_init();
    for (uint32_t handle = 1; extensions_loaded() > 0; handle++) {
        struct extension *extension = extension_find(handle);
        if (extension != NULL)
            extension_free(extension);
    }
    if (maps_pool.used != 0 || code_pool.used != 0)
        panic("live: pools are not empty after every extension was freed");
    start_afresh();
}

void live_init(void)
{
    start_afresh();
    invoke_init();
}
