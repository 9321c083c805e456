/* One call of an extension, contained: a fault or an overrun ends the call, and a deployed extension is rolled back. */
#ifndef ASSAY_LIVE_INVOKE_H
#define ASSAY_LIVE_INVOKE_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/arm64/cpu.h"
#include "drivers/pmu.h"
#include "drivers/timer.h"
#include "live/extension.h"

/* How an invocation ended: ASSAY_ROLLBACK_CAUSE_FAULT or _OVERRUN, or INVOKE_CLEAN. */
#define INVOKE_CLEAN 0u

/* One call in progress, and its result. One per core: calls are not nested. invoke.S uses the offset of `saved`. */
struct invocation {
    uint64_t saved[10]; /* x21 to x28, x29 and SP of the trampoline */
    struct extension *extension;
    const struct binding *binding; /* the live one of a deployed extension: containment rolls back */
    uint64_t fallback;
    uint64_t deadline; /* CNTVCT ticks */
    uint32_t cause; /* INVOKE_CLEAN, or ASSAY_ROLLBACK_CAUSE_*; the rest is set when it is not clean */
    uint32_t esr;
    uint32_t code_offset;
    bool rolled_back;
    uint64_t fault_address;
    struct pmu_window entered, released; /* containment began, and its store-release was done */
    struct pmu_cost rollback;
};

/* What was called and contained since boot or the last reset. */
struct invoke_counts {
    uint64_t invocations; /* of deployed code */
    uint32_t faults, overruns;
};
extern struct invoke_counts invoke_counts;

/*
 * Gives every core its invocation, proves that a fault in JIT code is contained, and calibrates what the way into the
 * handler costs. Once, at boot.
 */
void invoke_init(void);

/* Around any number of calls: arms and disarms the watchdog. Not nested. */
void invoke_batch_begin(void);
void invoke_batch_end(void);

/* This core's invocation. Its fields say how the last call ended, until the next. */
static inline struct invocation *invoke_here(void)
{
    return this_cpu()->invocation;
}

/* invoke.S */
uint64_t invoke_enter(void *context, uint64_t size, uintptr_t code, struct invocation *invocation,
                      void **live);

/*
 * Calls the binding's entry with AAPCS64 arguments (context, size). Sets invocation->cause; when that is not
 * INVOKE_CLEAN the value is `fallback`. `invocation` is invoke_here(). Inside a batch only.
 */
static inline uint64_t invoke(struct invocation *invocation, struct extension *extension,
                              const struct binding *binding, void *context, uint64_t size, uint64_t fallback)
{
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks)); /* may be early: a deadline is not that exact */
    invocation->extension = extension;
    invocation->binding = binding;
    invocation->fallback = fallback;
    invocation->cause = INVOKE_CLEAN;
    invocation->deadline = ticks + extension->bound_ticks;
    timer_rearm_ticks(invocation->deadline);
    return invoke_enter(context, size, binding->entry, invocation, &this_cpu()->live);
}

/* Queues the ROLLBACK event of a contained deployed call; to be called right after its invoke. */
void invoke_report(struct invocation *invocation);

#endif
