/* The generic timer: a clock, and one one-shot alarm per core. There is no periodic tick. */
#ifndef ASSAY_DRIVERS_TIMER_H
#define ASSAY_DRIVERS_TIMER_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/arm64/trap.h"

/*
 * Called in interrupt context (exception stack, IRQs masked) when the alarm fires. `frame` is the interrupted
 * code and may be rewritten to abandon it. The alarm is disarmed before the call; the callback may arm it again.
 */
typedef void (*timer_expired_fn)(struct trap_frame *frame, void *arg);

void timer_init(void);

/* CNTFRQ_EL0 as firmware left it, Hz. */
uint64_t timer_frequency_hz(void);

/* CNTVCT_EL0, with the ISB that keeps it from being read early (ARM DDI 0487 D11.2.1). */
uint64_t timer_ticks(void);

/* Nanoseconds since the counter started; does not wrap in 500 years. */
uint64_t timer_now_ns(void);

uint64_t timer_ns_to_ticks(uint64_t ns);
uint64_t timer_ticks_to_ns(uint64_t ticks);

/* Arms this core's alarm `delta_ns` from now (rounded up to a tick), replacing an earlier one. */
void timer_arm_ns(uint64_t delta_ns, timer_expired_fn expired, void *arg);

/* Moves an armed alarm to CNTVCT == `deadline`: one register write, for code that does so at every call. */
static inline void timer_rearm_ticks(uint64_t deadline)
{
    __asm__ volatile("msr cntv_cval_el0, %0" : : "r"(deadline));
}

/* Disarms it; no callback follows. Safe when nothing is armed. */
void timer_cancel(void);

/* The interrupt handler; traps.c calls it. */
void timer_interrupt(struct trap_frame *frame);

#endif
