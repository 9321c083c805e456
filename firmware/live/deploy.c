/* DEPLOY and ROLLBACK, and live's part in STATUS, PRISTINE and boot. */
#include <string.h>

#include "channel/channel.h"
#include "kernel/kernel.h"
#include "traffic/telemetry.h"
#include "live/live.h"

/* Everything from the checks to the store-release: what a swap costs the one who asks for it. */
static bool deploy(struct program *program, uint32_t watch_invocations, struct load_error *error)
{
    if (!program_inherit(program, config_program_at(program->slot), error))
        return false;
    program->calls_left = program->clean_calls;
    config_deploy(program);
    watch_open(program, watch_invocations);
    return true;
}

static uint16_t swapped(struct reply *reply, uint64_t instructions)
{
    struct assay_swap_response *body = reply_body(reply, sizeof(*body));
    body->generation = config_generation();
    body->rollback_depth = config_depth();
    body->swap_instructions = instructions;
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
    struct program *program = program_find(want->handle);
    if (program == NULL)
        return reply_refuse(reply, ASSAY_STATUS_BAD_ARGUMENT,
                            "DEPLOY: expected: a loaded program, seen: handle %u", want->handle);
    const char *fault = config_deploy_fault(program);
    if (fault != NULL)
        return reply_refuse(reply, ASSAY_STATUS_BAD_STATE, "DEPLOY: expected: %s", fault);
    struct load_error error = {0};
    uint64_t window = pmu_begin();
    bool good = deploy(program, want->watch_invocations, &error);
    uint64_t cost = pmu_end(window);
    if (!good)
        return reply_refuse(reply, error.status, "DEPLOY: %s", error.text);
    report_commit();
    return swapped(reply, cost);
}

uint16_t handle_ROLLBACK(const uint8_t *request, size_t size, struct reply *reply)
{
    (void)request, (void)size;
    uint64_t window = pmu_begin();
    bool good = config_take_back(NULL);
    uint64_t cost = pmu_end(window);
    if (!good)
        return reply_refuse(reply, ASSAY_STATUS_BAD_STATE,
                            "ROLLBACK: expected: a rollback point, seen: none");
    watch_close(NULL);
    struct assay_rollback_event event = {
        .cause = ASSAY_ROLLBACK_CAUSE_REQUEST,
        .generation = config_generation(),
        .rollback_instructions = cost,
    };
    (void)channel_event(ASSAY_EVENT_ROLLBACK, &event, sizeof(event), NULL, 0);
    return swapped(reply, cost);
}

void live_status(struct assay_status_response *status)
{
    status->generation = config_generation();
    status->rollback_depth = config_depth();
    status->loaded_programs = programs_loaded();
    status->deployed_programs = config_deployed();
    status->invocations = contained.invocations;
    status->faults_contained = contained.faults;
    status->overruns_contained = contained.overruns;
    status->rollbacks = config_rollbacks();
    status->watch_remaining = watch_remaining();
    status->map_pool_used = (uint32_t)map_memory.used;
    status->map_pool_size = (uint32_t)map_memory.size;
    status->code_pool_used = (uint32_t)code_memory.used;
    status->code_pool_size = (uint32_t)code_memory.size;
}

static void start_afresh(void)
{
    config_init();
    maps_init();
    programs_init();
    results_clear();
    telemetry_reset();
    env_real_time();
    env_seed(0);
    contained = (struct containment_counts){0};
}

/* Frees everything one by one before it starts afresh, so that a leak shows itself here. */
void live_pristine(void)
{
    config_init();
    for (uint32_t handle = 1; programs_loaded() > 0; handle++) {
        struct program *program = program_find(handle);
        if (program != NULL)
            program_free(program);
    }
    if (map_memory.used != 0 || code_memory.used != 0)
        panic("live: pools are not empty after every program was freed");
    start_afresh();
}

void live_init(void)
{
    start_afresh();
    invoke_init();
}
