/*
 * Calls of JIT code, contained. The invocation record, found through the per-CPU block, says where the call came
 * from. A fault whose ELR is in the called code, or the watchdog's alarm while the PC is there, ends the call at
 * invoke_leave with the fallback value; what the code was doing is abandoned. An alarm that finds the PC elsewhere
 * (a helper, which is bounded) comes again shortly. A fault in a helper is the kernel's own and is not contained.
 *
 * The watchdog is one alarm, armed for a whole batch; a call only moves its deadline, one register write.
 */
#include "live/invoke.h"

#include <stddef.h>

#include "channel/channel.h"
#include "kernel/kernel.h"
#include "live/code.h"
#include "live/config.h"
#include "live/watch.h"

#define BATCH_ALARM_NS  1000000000u /* before the first call of a batch moves it */
#define HELPER_ALARM_NS 1000u       /* an alarm that found a helper running comes again after this */
#define LOOKS           31u         /* an odd number of pauses, each longer than the one before ... */
#define LOOK_STEP_NS    17u         /* ... by this */
#define SPSR_DAIF       0x3c0u

/* For the calibration at boot (ARM DDI 0487 C6.2). */
#define A64_UDF        0x00000000u
#define A64_NOP        0xd503201fu
#define A64_B_SELF     0x14000000u
#define PROBE_WORDS    1024u
#define PROBE_ALARM_NS 500u
#define TIMED_ALARM_NS 200000u /* where time is taken: caches are cold, or a translator comes first */
#define TIMED_PROBES   4u

extern const uint8_t invoke_leave[];

_Static_assert(offsetof(struct invocation, saved) == 0, "INVOCATION_SAVED of invoke.S");

struct invoke_counts invoke_counts;

/* Reached through the per-CPU blocks. */
static struct invocation invocations[CPU_MAX];

/* Instructions from the one that was stopped to the first of live_contain_fault, or of `expired`. */
static struct pmu_cost fault_entry_cost, alarm_entry_cost;
static uint32_t looks; /* of the batch in progress, at calls whose helper was running */

static bool in_code(const struct invocation *invocation, uint64_t pc)
{
    return pc - invocation->binding->entry < invocation->binding->code_bytes;
}

/* Ends the call: the exception returns to invoke_leave as if the code had returned the fallback. */
static void abandon(struct trap_frame *frame, const struct invocation *invocation)
{
    frame->x[0] = invocation->fallback;
    frame->x[19] = (uint64_t)(uintptr_t)&this_cpu()->live;
    for (uint32_t i = 0; i < 9; i++)
        frame->x[21 + i] = invocation->saved[i];
    frame->sp = invocation->saved[9];
    frame->elr = (uint64_t)(uintptr_t)invoke_leave;
    frame->spsr = (frame->spsr & SPSR_DAIF) | SPSR_EL1T;
}

/* On the exception stack, IRQs masked. `before`: what it cost until `entered` was read. */
static void contain(struct trap_frame *frame, struct invocation *invocation, uint32_t cause,
                    struct pmu_cost before)
{
    struct extension *extension = invocation->extension;
    invocation->rolled_back = false;
    if (invocation->binding == &extension->bindings[EXTENSION_LIVE]) {
        invocation->rolled_back = config_take_back(extension);
        struct pmu_cost cost = pmu_end(invocation->entered);
        invocation->released = pmu_begin();
        invocation->rollback = pmu_sum(before, cost);
        watch_close(extension);
    }
    invocation->cause = cause;
    invocation->code_offset = (uint32_t)(frame->elr - invocation->binding->entry);
    if (cause == ASSAY_ROLLBACK_CAUSE_FAULT) {
        invoke_counts.faults++;
        invocation->esr = (uint32_t)frame->esr;
        invocation->fault_address = frame->far;
    } else {
        invoke_counts.overruns++;
        invocation->esr = 0;
        invocation->fault_address = 0;
    }
    abandon(frame, invocation);
}

bool live_contain_fault(struct trap_frame *frame)
{
    struct pmu_window entered = pmu_begin();
    struct invocation *invocation = this_cpu()->live;
    if (invocation == NULL || !in_code(invocation, frame->elr))
        return false;
    invocation->entered = entered;
    contain(frame, invocation, ASSAY_ROLLBACK_CAUSE_FAULT, fault_entry_cost);
    return true;
}

static void expired(struct trap_frame *frame, void *arg);

/*
 * Arms the next look at a call whose helper was running. Under -icount all is periodic: a loop of a helper's length, the
 * ticks, and this handler. With a pause that is always the same, the alarm could find the helper each time, for ever;
 * so it is made longer by some ticks, and by some instructions between two ticks.
 */
static void come_again(void)
{
    uint32_t turn = looks++ % LOOKS;
    for (uint32_t i = 0; i < turn; i++)
        __asm__ volatile("nop");
    timer_arm_ns(HELPER_ALARM_NS + turn * LOOK_STEP_NS, expired, NULL);
}

/* The watchdog's alarm, in interrupt context. */
static void expired(struct trap_frame *frame, void *arg)
{
    (void)arg;
    struct pmu_window entered = pmu_begin();
    struct invocation *invocation = this_cpu()->live;
    if (invocation == NULL) {
        timer_arm_ns(BATCH_ALARM_NS, expired, NULL); /* between two calls; the next one moves the deadline */
        return;
    }
    if ((int64_t)(timer_ticks() - invocation->deadline) < 0 || !in_code(invocation, frame->elr)) {
        come_again();
        return;
    }
    invocation->entered = entered;
    contain(frame, invocation, ASSAY_ROLLBACK_CAUSE_OVERRUN, alarm_entry_cost);
    timer_arm_ns(BATCH_ALARM_NS, expired, NULL);
}

void invoke_batch_begin(void)
{
    looks = 0;
    timer_arm_ns(BATCH_ALARM_NS, expired, NULL);
}

void invoke_batch_end(void)
{
    timer_cancel();
}

void invoke_report(struct invocation *invocation)
{
    struct pmu_cost contained = pmu_end(invocation->released);
    if (!invocation->rolled_back)
        return;
    struct assay_rollback_event event = {
        .cause = invocation->cause,
        .generation = config_generation(),
        .handle = invocation->extension->handle,
        .esr = invocation->esr,
        .code_offset = invocation->code_offset,
        .fault_address = invocation->fault_address,
        .rollback_instructions = invocation->rollback.instructions,
        .contain_instructions = contained.instructions,
        .rollback_ns = invocation->rollback.ns,
        .contain_ns = contained.ns,
    };
    (void)channel_event(ASSAY_EVENT_ROLLBACK, &event, sizeof(event), NULL, 0);
}

/*
 * Calls `code`, which must be contained with `cause`, through the real trampoline; returns the cost from the
 * instruction at which it was stopped to the first of the handler. The way in through the trampoline is counted too: a
 * bound from above, by some twenty instructions. An alarm's time is counted from its deadline.
 */
static struct pmu_cost probe(const uint32_t *words, size_t size, uint64_t bound_ticks, uint32_t cause)
{
    static struct extension extension;
    struct invocation *invocation = invoke_here();
    struct binding binding = {.entry = pool_take(&code_pool, size), .code_bytes = (uint32_t)size};
    if (binding.entry == 0 || !vm_write_code(binding.entry, words, size))
        panic("live: the JIT region cannot be written");
    extension.bound_ticks = bound_ticks;

    invoke_batch_begin();
    struct pmu_window before = pmu_begin();
    uint64_t value = invoke(invocation, &extension, &binding, NULL, 0, 42);
    invoke_batch_end();
    pool_give(&code_pool, binding.entry);
    if (invocation->cause != cause || value != 42)
        panic("live: a defect in JIT code was not contained");
    uint32_t passed = invocation->entered.instructions - before.instructions;
    uint32_t own = invocation->code_offset / 4;
    uint32_t from = cause == ASSAY_ROLLBACK_CAUSE_OVERRUN ? (uint32_t)invocation->deadline : before.ticks;
    return (struct pmu_cost){passed > own ? passed - own : 0, pmu_ns_from(from, invocation->entered)};
}

/*
 * The alarm stops a run of NOPs, and its PC tells how many were executed; then the code spins. Where time is taken it
 * is the least of several, and nobody knows how often the code has spun: instructions are those of a fault's way in.
 */
static struct pmu_cost probe_alarm(const uint32_t *words, size_t size)
{
    if (!pmu_takes_time())
        return probe(words, size, timer_ns_to_ticks(PROBE_ALARM_NS), ASSAY_ROLLBACK_CAUSE_OVERRUN);
    struct pmu_cost least = {fault_entry_cost.instructions, UINT64_MAX};
    for (uint32_t i = 0; i < TIMED_PROBES; i++) {
        struct pmu_cost cost =
            probe(words, size, timer_ns_to_ticks(TIMED_ALARM_NS), ASSAY_ROLLBACK_CAUSE_OVERRUN);
        least.ns = cost.ns < least.ns ? cost.ns : least.ns;
    }
    return least;
}

void invoke_init(void)
{
    static uint32_t words[PROBE_WORDS];
    for (uint32_t core = 0; core < CPU_MAX; core++)
        cpus[core].invocation = &invocations[core];
    words[0] = A64_UDF;
    fault_entry_cost =
        probe(words, sizeof(words[0]), timer_ns_to_ticks(BATCH_ALARM_NS), ASSAY_ROLLBACK_CAUSE_FAULT);
    for (size_t i = 0; i < PROBE_WORDS; i++)
        words[i] = i == PROBE_WORDS - 1 ? A64_B_SELF : A64_NOP;
    alarm_entry_cost = probe_alarm(words, sizeof(words));
    invoke_counts = (struct invoke_counts){0};
}
