/*
 * What code costs, in one or both of two units: instructions retired (PMU event 0x08) and time (CNTVCT).
 *
 * Under QEMU's -icount one instruction is one virtual ns and counts are exact: instructions say everything, and time is
 * not taken. Silicon counts instructions too, but what they take is another matter: both are taken. Without icount QEMU
 * counts nothing: time alone. pmu_init finds out which of the three it is; a unit that is not taken reads 0.
 */
#ifndef ASSAY_DRIVERS_PMU_H
#define ASSAY_DRIVERS_PMU_H

#include <stdbool.h>
#include <stdint.h>

/* The low halves of the counters as a window began: one register, so that carrying it costs the window nothing. */
struct pmu_window {
    uint32_t instructions;
    uint32_t ticks; /* CNTVCT */
};

struct pmu_cost {
    uint64_t instructions, ns;
};

/* Sets the counter up on the calling core and measures the cost of an empty window. Boot only, after timer_init. */
void pmu_init(void);

bool pmu_counts_instructions(void);
bool pmu_takes_time(void);

/*
 * Instructions since boot on this core, 64 bits; nanoseconds where none are counted. Exact as long as two calls are
 * less than 2^32 instructions apart (the overflow flag carries one wrap). Costs a few dozen instructions itself: not
 * for windows, see below.
 */
uint64_t pmu_instructions(void);

/*
 * A measured window: begin, the work, end. The result has the calibrated cost of an empty window subtracted, so
 * an empty window measures 0 (in time: on average). Shorter than 2^32 instructions and ticks; another core running, or an
 * interrupt inside, is counted too. IRQs off is the caller's choice.
 *
 *     struct pmu_window window = pmu_begin();
 *     work();
 *     struct pmu_cost cost = pmu_end(window);
 */
struct pmu_window pmu_begin(void);
struct pmu_cost pmu_end(struct pmu_window begin);

/* From when CNTVCT was `ticks` (its low half) until `window` began, ns: for what begins by itself, such as an alarm. 0 without time. */
uint64_t pmu_ns_from(uint32_t ticks, struct pmu_window window);

/* `a` and then `b`. */
static inline struct pmu_cost pmu_sum(struct pmu_cost a, struct pmu_cost b)
{
    return (struct pmu_cost){a.instructions + b.instructions, a.ns + b.ns};
}

/* The smaller of the two, unit by unit. */
static inline struct pmu_cost pmu_smaller(struct pmu_cost a, struct pmu_cost b)
{
    return (struct pmu_cost){a.instructions < b.instructions ? a.instructions : b.instructions,
                             a.ns < b.ns ? a.ns : b.ns};
}

/* The larger of the two, unit by unit. */
static inline struct pmu_cost pmu_larger(struct pmu_cost a, struct pmu_cost b)
{
    return (struct pmu_cost){a.instructions > b.instructions ? a.instructions : b.instructions,
                             a.ns > b.ns ? a.ns : b.ns};
}

/*
 * Stops and restarts the counter around a WFI. A running counter will overflow some day, and QEMU keeps a timer of
 * virtual time for that: under -icount with sleep=off an idle guest would race from one overflow to the next.
 */
void pmu_pause(void);
void pmu_resume(void);

/* What an empty window costs before the subtraction, in instructions and in ns: stated in status. */
uint32_t pmu_overhead(void);
uint32_t pmu_overhead_ns(void);

#endif
