/* RUN: an extension of the `test` hook, on memory that comes with the request; its state is cleared at each request. */
#include <string.h>

#include "bpf/bpf.h"
#include "channel/channel.h"
#include "kernel/kernel.h"
#include "live/env.h"
#include "live/extension.h"
#include "live/invoke.h"

#define REPEAT_MAX 10000u

_Static_assert(sizeof(struct assay_run_response) + TEST_MEM_MAX <= REPLY_MAX, "TEST_MEM_MAX");

/* The memory that r1 points at: at the same address in every run. */
static uint8_t test_memory[TEST_MEM_MAX] __attribute__((aligned(16)));

struct run {
    struct extension *extension;
    const uint8_t *memory; /* test_mem_size bytes that each repetition starts with */
    uint64_t r0;
    struct pmu_cost min, max, total; /* of a call */
};

static void count(struct run *run, struct pmu_cost cost)
{
    run->min = pmu_smaller(run->min, cost);
    run->max = pmu_larger(run->max, cost);
    run->total = pmu_sum(run->total, cost);
}

/* Every repetition starts alike: fresh memory, time 0, the seed's first random number. */
static void start_over(const struct run *run)
{
    memcpy(test_memory, run->memory, run->extension->test_mem_size);
    env_virtual_time(0);
    env_seed(run->extension->seed);
}

static uint16_t run_jit(struct run *run, uint32_t repeat, struct reply *reply)
{
    struct invocation *invocation = invoke_here();
    struct extension *extension = run->extension;
    invoke_batch_begin();
    for (uint32_t i = 0; i < repeat; i++) {
        start_over(run);
        struct pmu_window window = pmu_begin();
        run->r0 = invoke(invocation, extension, &extension->bindings[EXTENSION_LIVE], test_memory,
                         extension->test_mem_size, 0);
        count(run, pmu_end(window));
        if (invocation->cause != INVOKE_CLEAN)
            break;
    }
    invoke_batch_end();
    if (invocation->cause == ASSAY_ROLLBACK_CAUSE_FAULT) {
        return reply_refuse(reply, ASSAY_STATUS_CONTAINED,
                            "RUN: the program faulted at code offset %u: "
                            "ESR 0x%x, FAR 0x%lx",
                            invocation->code_offset, invocation->esr,
                            (unsigned long)invocation->fault_address);
    }
    if (invocation->cause != INVOKE_CLEAN) {
        return reply_refuse(reply, ASSAY_STATUS_CONTAINED,
                            "RUN: the program exceeded its bound of %lu ns at code offset %u",
                            (unsigned long)extension->bound_ns, invocation->code_offset);
    }
    return ASSAY_STATUS_OK;
}

static uint16_t run_interpreter(struct run *run, uint32_t repeat, struct reply *reply)
{
    struct extension *extension = run->extension;
    for (uint32_t i = 0; i < repeat; i++) {
        struct interpreted out;
        start_over(run);
        struct pmu_window window = pmu_begin();
        extension->ops->interpret(extension, EXTENSION_LIVE, test_memory, &out);
        count(run, pmu_end(window));
        run->r0 = out.value;
        if (out.fault != NULL) {
            return reply_refuse(reply, ASSAY_STATUS_CONTAINED,
                                "RUN: the program ended %s at slot %u, address 0x%lx", out.fault, out.slot,
                                (unsigned long)out.address);
        }
    }
    return ASSAY_STATUS_OK;
}

uint16_t handle_RUN(const uint8_t *request, size_t size, struct reply *reply)
{
    const struct assay_run_request *want = (const void *)request;
    struct extension *extension = extension_find(want->handle);
    size_t memory_size = size - sizeof(*want);
    if (extension == NULL || !bpf_hook_in(BPF_HOOKS_WITH_MEMORY, extension->slot.hook)) {
        return reply_refuse(reply, ASSAY_STATUS_BAD_ARGUMENT,
                            "RUN: expected: a loaded program of the test hook, "
                            "seen: %s %u",
                            extension == NULL ? "no program with handle" : "another hook's, handle",
                            want->handle);
    }
    if (memory_size != extension->test_mem_size) {
        return reply_refuse(reply, ASSAY_STATUS_BAD_ARGUMENT, "RUN: expected: %u bytes of memory, seen: %u",
                            extension->test_mem_size, (uint32_t)memory_size);
    }
    if (want->mode > ASSAY_RUN_MODE_INTERPRET || want->repeat == 0 || want->repeat > REPEAT_MAX) {
        return reply_refuse(reply, ASSAY_STATUS_BAD_ARGUMENT,
                            "RUN: expected: mode 0 or 1 and 1 to %u repetitions, seen: mode %u, %u",
                            REPEAT_MAX, want->mode, want->repeat);
    }
    extension->ops->clear(extension, EXTENSION_LIVE);

    struct run run = {
        .extension = extension, .memory = request + sizeof(*want), .min = {UINT64_MAX, UINT64_MAX}};
    uint16_t status = want->mode == ASSAY_RUN_MODE_JIT ? run_jit(&run, want->repeat, reply)
                                                       : run_interpreter(&run, want->repeat, reply);
    env_real_time();
    if (status != ASSAY_STATUS_OK)
        return status;
    struct assay_run_response *body = reply_body(reply, sizeof(*body));
    body->r0 = run.r0;
    body->instructions_min = run.min.instructions;
    body->instructions_max = run.max.instructions;
    body->instructions_total = run.total.instructions;
    body->ns_min = run.min.ns;
    body->ns_max = run.max.ns;
    body->ns_total = run.total.ns;
    (void)reply_append(reply, test_memory, memory_size);
    return ASSAY_STATUS_OK;
}
