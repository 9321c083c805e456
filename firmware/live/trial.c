/* TRIAL, RESULTS, MAP_READ: a program run dry over an uploaded trace, and what came of it. */
#include <string.h>

#include "channel/channel.h"
#include "kernel/kernel.h"
#include "traffic/telemetry.h"
#include "traffic/trace.h"
#include "live/arena.h"
#include "live/live.h"
#include "live/packet.h"

_Static_assert(TRACE_PACKETS_MAX * sizeof(struct assay_result_record) <= ARENA_RESULTS_SIZE, "results");

/* ---- results ------------------------------------------------------------------------------------------------------ */

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
    if (!results.any || results.handle != want->handle)
        return reply_refuse(reply, ASSAY_STATUS_BAD_STATE,
                            "RESULTS: expected: handle %u, whose results are the last, seen: %u",
                            results.any ? results.handle : 0, want->handle);
    uint32_t total = results.count * (uint32_t)sizeof(struct assay_result_record);
    if (want->offset > total)
        return reply_refuse(reply, ASSAY_STATUS_BAD_ARGUMENT,
                            "RESULTS: expected: an offset up to %u, seen: %u", total, want->offset);
    struct assay_read_response *body = reply_body(reply, sizeof(*body));
    body->total = total;
    size_t room = reply_room(reply) / sizeof(struct assay_result_record) * sizeof(struct assay_result_record);
    size_t left = total - want->offset;
    (void)reply_append(reply, (const uint8_t *)records() + want->offset, left < room ? left : room);
    return ASSAY_STATUS_OK;
}

/* ---- trial -------------------------------------------------------------------------------------------------------- */

struct trial {
    struct program *program;
    bool interpret;
    struct bpf_prog bound; /* the program on its trial maps, for the interpreter */
    uint32_t invocations, contained;
    uint64_t max, total;
};

/* One call on `context`; false when it had to be contained. */
static bool call(struct trial *trial, void *context)
{
    static struct invocation invocation;
    struct bpf_run out = {.end = BPF_RUN_OK};
    uint64_t verdict;
    uint64_t window = pmu_begin();
    if (trial->interpret) {
        bpf_interp(&trial->bound, context, trial->bound.wcet, &out);
        verdict = out.r0;
    } else {
        verdict = invoke(&invocation, trial->program, &trial->program->trial, context, 0, NET_PASS);
    }
    uint64_t cost = pmu_end(window);
    bool clean = trial->interpret ? out.end == BPF_RUN_OK : invocation.cause == INVOKE_CLEAN;
    trial->invocations++;
    results_add((uint32_t)verdict, cost);
    if (!clean) {
        trial->contained++;
        return false;
    }
    trial->total += cost;
    trial->max = cost > trial->max ? cost : trial->max;
    return true;
}

/* net_rx sees the packets; timer is called at each packet's time, with the gap to the one before as its period. */
static void run_trial(struct trial *trial, const struct trace *trace)
{
    struct trace_packet packet;
    size_t offset = 0;
    uint64_t before = trace->first_ns;
    bool clean = true;
    while (clean && trace_next(trace, &offset, &packet)) {
        env_virtual_time(packet.arrival_ns);
        if (trial->program->slot.hook == ASSAY_HOOK_NET_RX) {
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
    struct program *program = program_find(want->handle);
    if (program == NULL || program->slot.hook == ASSAY_HOOK_TEST)
        return reply_refuse(reply, ASSAY_STATUS_BAD_ARGUMENT,
                            "TRIAL: expected: a loaded net_rx or timer program, seen: %s %u",
                            program == NULL ? "no program with handle" : "a test program, handle",
                            want->handle);
    if (want->mode > ASSAY_RUN_MODE_INTERPRET)
        return reply_refuse(reply, ASSAY_STATUS_BAD_ARGUMENT, "TRIAL: expected: mode 0 or 1, seen: %u",
                            want->mode);
    struct trace trace;
    uint16_t status = packet_open_trace(ASSAY_BLOB_TRIAL, "TRIAL", &trace, reply);
    if (status != ASSAY_STATUS_OK)
        return status;
    struct load_error error = {0};
    if (!program_prepare_trial(program, &error))
        return reply_refuse(reply, error.status, "TRIAL: %s", error.text);

    struct trial trial = {
        .program = program, .interpret = want->mode == ASSAY_RUN_MODE_INTERPRET, .bound = program->bpf};
    trial.bound.insns = program->trial.insns;
    for (uint32_t i = 0; i < program->bpf.map_count; i++) {
        trial.bound.maps[i] = program->trial.maps[i]->map;
        bpf_map_clear(trial.bound.maps[i]);
    }
    env_seed(program->seed);
    results_begin(program->handle);
    uint64_t window = pmu_begin();
    invoke_batch_begin();
    run_trial(&trial, &trace);
    invoke_batch_end();
    uint64_t cost = pmu_end(window);
    env_real_time();

    struct assay_trial_response *body = reply_body(reply, sizeof(*body));
    body->invocations = trial.invocations;
    body->contained = trial.contained;
    body->instructions_max = trial.max;
    body->instructions_total = trial.total;
    body->trial_instructions = cost;
    return ASSAY_STATUS_OK;
}

/* ---- maps --------------------------------------------------------------------------------------------------------- */

uint16_t handle_MAP_READ(const uint8_t *request, size_t size, struct reply *reply)
{
    (void)size;
    const struct assay_map_read_request *want = (const void *)request;
    const struct program *program = program_find(want->handle);
    if (program == NULL || want->map_index >= program->bpf.map_count)
        return reply_refuse(
            reply, ASSAY_STATUS_BAD_ARGUMENT,
            "MAP_READ: expected: a loaded program and one of its %u maps, seen: handle %u, map %u",
            program == NULL ? 0 : program->bpf.map_count, want->handle, want->map_index);
    const struct binding *binding = want->trial != 0 ? &program->trial : &program->live;
    if (binding->maps[want->map_index] == NULL)
        return reply_refuse(reply, ASSAY_STATUS_BAD_STATE,
                            "MAP_READ: expected: a trial before its maps are read, seen: none");
    struct bpf_map *map = binding->maps[want->map_index]->map;
    const struct bpf_map_def *def = bpf_map_def_of(map);
    struct assay_map_read_response *body = reply_body(reply, sizeof(*body));
    body->key_size = def->key_size;
    body->value_size = def->value_size;
    if (def->key_size + (size_t)def->value_size > reply_room(reply))
        return reply_refuse(
            reply, ASSAY_STATUS_BAD_ARGUMENT,
            "MAP_READ: expected: entries that fit a frame, seen: key of %u and value of %u bytes",
            def->key_size, def->value_size);
    uint32_t cursor = want->cursor;
    while (reply_room(reply) >= def->key_size + (size_t)def->value_size) {
        const void *key = NULL;
        const void *value = NULL;
        cursor = bpf_map_next(map, cursor, &key, &value);
        if (cursor == 0)
            break;
        (void)reply_append(reply, key, def->key_size);
        (void)reply_append(reply, value, def->value_size);
        body->count++;
    }
    body->next = cursor;
    return ASSAY_STATUS_OK;
}
