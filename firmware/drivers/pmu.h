/*
 * Instructions retired (PMU event 0x08), the kernel's unit of virtual time.
 *
 * Under QEMU's -icount one instruction is one virtual ns and counts are exact. Without icount QEMU counts nothing;
 * pmu_init notices, pmu_source() says so, and every figure becomes nanoseconds of CNTVCT instead.
 */
#ifndef ASSAY_DRIVERS_PMU_H
#define ASSAY_DRIVERS_PMU_H

#include <stdint.h>

enum pmu_source {
    PMU_INST_RETIRED = 1, /* figures are instructions */
    PMU_CNTVCT = 2,       /* figures are nanoseconds of the generic timer */
};

/* Sets the counter up on the calling core and measures the cost of an empty window. Boot only. */
void pmu_init(void);

enum pmu_source pmu_source(void);

/*
 * Instructions since boot on this core, 64 bits. Exact as long as two calls are less than 2^32 instructions apart
 * (the overflow flag carries one wrap). Costs a few dozen instructions itself: not for windows, see below.
 */
uint64_t pmu_instructions(void);

/*
 * A measured window: begin, the work, end. The result has the calibrated cost of an empty window subtracted, so
 * an empty window measures 0. Shorter than 2^32 instructions; another core running, or an interrupt inside, is
 * counted too. IRQs off is the caller's choice.
 *
 *     uint64_t t = pmu_begin();
 *     work();
 *     uint64_t cost = pmu_end(t);
 */
uint64_t pmu_begin(void);
uint64_t pmu_end(uint64_t begin);

/*
 * Stops and restarts the counter around a WFI. A running counter will overflow some day, and QEMU keeps a timer of
 * virtual time for that: under -icount with sleep=off an idle guest would race from one overflow to the next.
 */
void pmu_pause(void);
void pmu_resume(void);

/* What an empty window costs before the subtraction, in units of pmu_source(): stated in status. */
uint32_t pmu_overhead(void);

#endif
