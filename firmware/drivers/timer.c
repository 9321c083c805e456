/* The generic timer's EL1 virtual view (ARM DDI 0487 D11): CNTVCT as clock, CNTV as one-shot alarm. */
#include "drivers/timer.h"

#include "arch/arm64/cpu.h"
#include "board.h"
#include "drivers/intc.h"

#define CTL_ENABLE 1ull

static uint64_t frequency_hz;
static struct {
    timer_expired_fn expired;
    void *arg;
} alarms[CPU_MAX];

static void write_ctl(uint64_t value)
{
    __asm__ volatile("msr cntv_ctl_el0, %0\n\tisb" : : "r"(value) : "memory");
}

void timer_init(void)
{
    __asm__ volatile("mrs %0, cntfrq_el0" : "=r"(frequency_hz));
    write_ctl(0);
    intc_enable(IRQ_TIMER);
}

uint64_t timer_frequency_hz(void)
{
    return frequency_hz;
}

uint64_t timer_ticks(void)
{
    uint64_t ticks;
    __asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(ticks) : : "memory");
    return ticks;
}

/* value * numerator / denominator without a 128-bit intermediate; exact while denominator < 2^34. */
static uint64_t scale(uint64_t value, uint64_t numerator, uint64_t denominator)
{
    uint64_t whole = value / denominator;
    uint64_t rest = value % denominator;
    return whole * numerator + rest * numerator / denominator;
}

uint64_t timer_ticks_to_ns(uint64_t ticks)
{
    return frequency_hz == 0 ? 0 : scale(ticks, 1000000000ull, frequency_hz);
}

uint64_t timer_ns_to_ticks(uint64_t ns)
{
    return scale(ns, frequency_hz, 1000000000ull);
}

uint64_t timer_now_ns(void)
{
    return timer_ticks_to_ns(timer_ticks());
}

void timer_arm_ns(uint64_t delta_ns, timer_expired_fn expired, void *arg)
{
    uint64_t daif = irq_save();
    uint32_t core = this_cpu()->core;
    write_ctl(0);
    alarms[core].expired = expired;
    alarms[core].arg = arg;
    __asm__ volatile("msr cntv_cval_el0, %0" : : "r"(timer_ticks() + timer_ns_to_ticks(delta_ns) + 1u));
    write_ctl(CTL_ENABLE);
    irq_restore(daif);
}

void timer_cancel(void)
{
    uint64_t daif = irq_save();
    write_ctl(0);
    alarms[this_cpu()->core].expired = NULL;
    irq_restore(daif);
}

void timer_interrupt(struct trap_frame *frame)
{
    uint32_t core = this_cpu()->core;
    timer_expired_fn expired = alarms[core].expired;
    write_ctl(0);
    alarms[core].expired = NULL;
    if (expired != NULL)
        expired(frame, alarms[core].arg);
}
