/*
 * Calls of JIT code, contained. The invocation record, found through the per-CPU block, says where the call came
 * from. A fault whose ELR is in the called code, or the watchdog's alarm while the PC is there, ends the call at
 * invoke_leave with the fallback value; what the code was doing is abandoned. An alarm that finds the PC elsewhere
 * (a helper, which is bounded) comes again shortly. A fault in a helper is the kernel's own and is not contained.
 *
 * The watchdog is one alarm, armed for a whole batch; a call only moves its deadline, one register write.
 */
#include <stddef.h>

#include "channel/channel.h"
#include "kernel/kernel.h"
#include "live/live.h"

#define BATCH_ALARM_NS  1000000000u /* before the first call of a batch moves it */
#define HELPER_ALARM_NS 1000u       /* an alarm that found a helper running comes again after this */
#define SPSR_DAIF       0x3c0u

uint64_t invoke_enter(void *context, uint64_t size, uintptr_t code, struct invocation *invocation,
                      void **live);
extern const uint8_t invoke_leave[];

_Static_assert(offsetof(struct invocation, saved) == 0, "INVOCATION_SAVED of invoke.S");

struct containment_counts contained;

static uint64_t fault_entry_cost; /* instructions from the faulting one to the first of live_contain_fault */

static inline uint64_t counter_now(void)
{
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks)); /* may be early: a deadline is not that exact */
    return ticks;
}

uint64_t invoke(struct invocation *invocation, struct program *program, const struct binding *binding,
                void *context, uint64_t size, uint64_t fallback)
{
    invocation->program = program;
    invocation->binding = binding;
    invocation->fallback = fallback;
    invocation->cause = INVOKE_CLEAN;
    invocation->deadline = counter_now() + program->bound_ticks;
    timer_rearm_ticks(invocation->deadline);
    return invoke_enter(context, size, binding->code, invocation, &this_cpu()->live);
}

static bool in_code(const struct invocation *invocation, uint64_t pc)
{
    return pc - invocation->binding->code < invocation->binding->code_bytes;
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

/* On the exception stack, IRQs masked. `before`: instructions (ns) that passed before `entered` was read. */
static void contain(struct trap_frame *frame, struct invocation *invocation, uint32_t cause, uint64_t before)
{
    struct program *program = invocation->program;
    invocation->rolled_back = false;
    if (invocation->binding == &program->live) {
        invocation->rolled_back = config_take_back(program);
        invocation->released = pmu_begin();
        invocation->rollback_instructions = before + pmu_end(invocation->entered);
        watch_close(program);
    }
    invocation->cause = cause;
    invocation->code_offset = (uint32_t)(frame->elr - invocation->binding->code);
    if (cause == ASSAY_ROLLBACK_CAUSE_FAULT) {
        contained.faults++;
        invocation->esr = (uint32_t)frame->esr;
        invocation->fault_address = frame->far;
    } else {
        contained.overruns++;
        invocation->esr = 0;
        invocation->fault_address = 0;
    }
    abandon(frame, invocation);
}

bool live_contain_fault(struct trap_frame *frame)
{
    uint64_t entered = pmu_begin();
    struct invocation *invocation = this_cpu()->live;
    if (invocation == NULL || !in_code(invocation, frame->elr))
        return false;
    invocation->entered = entered;
    contain(frame, invocation, ASSAY_ROLLBACK_CAUSE_FAULT, fault_entry_cost);
    return true;
}

/* The watchdog's alarm, in interrupt context. */
static void expired(struct trap_frame *frame, void *arg)
{
    (void)arg;
    uint64_t entered = pmu_begin();
    struct invocation *invocation = this_cpu()->live;
    if (invocation == NULL) {
        timer_arm_ns(BATCH_ALARM_NS, expired, NULL); /* between two calls; the next one moves the deadline */
        return;
    }
    uint64_t late = timer_ticks() - invocation->deadline;
    if ((int64_t)late < 0 || !in_code(invocation, frame->elr)) {
        timer_arm_ns(HELPER_ALARM_NS, expired, NULL);
        return;
    }
    invocation->entered = entered;
    contain(frame, invocation, ASSAY_ROLLBACK_CAUSE_OVERRUN, timer_ticks_to_ns(late));
    timer_arm_ns(BATCH_ALARM_NS, expired, NULL);
}

void invoke_batch_begin(void)
{
    timer_arm_ns(BATCH_ALARM_NS, expired, NULL);
}

void invoke_batch_end(void)
{
    timer_cancel();
}

void invoke_report(struct invocation *invocation)
{
    uint64_t contain_instructions = pmu_end(invocation->released);
    if (!invocation->rolled_back)
        return;
    struct assay_rollback_event event = {
        .cause = invocation->cause,
        .generation = config_generation(),
        .handle = invocation->program->handle,
        .esr = invocation->esr,
        .code_offset = invocation->code_offset,
        .fault_address = invocation->fault_address,
        .rollback_instructions = invocation->rollback_instructions,
        .contain_instructions = contain_instructions,
    };
    (void)channel_event(ASSAY_EVENT_ROLLBACK, &event, sizeof(event), NULL, 0);
}

/* A program whose only instruction is undefined, called through the real trampoline. */
void invoke_init(void)
{
    static const uint32_t undefined = 0; /* UDF #0, ARM DDI 0487 C6.2.449 */
    static struct program probe;
    static struct invocation invocation;
    probe.live.code_bytes = sizeof(undefined);
    probe.live.code = pool_take(&code_memory, sizeof(undefined));
    if (probe.live.code == 0 || !code_write(probe.live.code, &undefined, sizeof(undefined)))
        panic("live: the JIT region cannot be written");
    struct binding binding = probe.live; /* not &probe.live: nothing is deployed, so nothing is rolled back */
    probe.bound_ticks = timer_ns_to_ticks(BATCH_ALARM_NS);

    invoke_batch_begin();
    uint64_t before = pmu_begin();
    uint64_t value = invoke(&invocation, &probe, &binding, NULL, 0, 42);
    invoke_batch_end();
    pool_give(&code_memory, probe.live.code);
    if (invocation.cause != ASSAY_ROLLBACK_CAUSE_FAULT || value != 42)
        panic("live: an undefined instruction in JIT code was not contained");
    /* The way in through the trampoline is counted too: a bound from above, by some twenty instructions. */
    fault_entry_cost = (uint32_t)(invocation.entered - before);
    contained = (struct containment_counts){0};
}
