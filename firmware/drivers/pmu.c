/* PMUv3 event counter 0 counting INST_RETIRED (ARM DDI 0487 D13). */
#include "drivers/pmu.h"

#include "drivers/timer.h"

#define EVENT_INST_RETIRED 0x08ull
#define PMCR_E             1ull
#define COUNTER_0          1ull
#define COUNTER_31         0x80000000ull

static enum pmu_source source;
static uint32_t overhead;
static uint64_t wraps; /* 2^32 times the overflows that pmu_instructions has seen */

/* The ISB keeps the read from being executed early: counter reads are not ordered otherwise (D13.1.3). */
static inline uint64_t read_counter(void)
{
    uint64_t count;
    __asm__ volatile("isb\n\tmrs %0, pmevcntr0_el0" : "=r"(count) : : "memory");
    return count;
}

__attribute__((noinline)) uint64_t pmu_begin(void)
{
    return source == PMU_INST_RETIRED ? read_counter() : timer_now_ns();
}

__attribute__((noinline)) uint64_t pmu_end(uint64_t begin)
{
    uint64_t elapsed;
    if (source == PMU_INST_RETIRED)
        elapsed = (uint32_t)(read_counter() - begin);
    else
        elapsed = timer_now_ns() - begin;
    return elapsed > overhead ? elapsed - overhead : 0;
}

uint64_t pmu_instructions(void)
{
    if (source != PMU_INST_RETIRED)
        return timer_now_ns();
    uint64_t count = read_counter();
    uint64_t overflowed;
    __asm__ volatile("mrs %0, pmovsclr_el0" : "=r"(overflowed));
    if ((overflowed & COUNTER_0) != 0) {
        __asm__ volatile("msr pmovsclr_el0, %0\n\tisb" : : "r"(COUNTER_0));
        wraps += 1ull << 32;
        count = read_counter(); /* the first read may be from before the wrap */
    }
    return wraps + count;
}

static void calibrate(void)
{
    uint32_t least = UINT32_MAX;
    overhead = 0;
    for (uint32_t i = 0; i < 8u; i++) {
        uint32_t cost = (uint32_t)pmu_end(pmu_begin());
        least = cost < least ? cost : least;
    }
    overhead = least;
}

void pmu_init(void)
{
    __asm__ volatile("msr pmcntenclr_el0, %0" : : "r"(COUNTER_31 | (COUNTER_31 - 1u)));
    __asm__ volatile("msr pmintenclr_el1, %0" : : "r"(COUNTER_31 | (COUNTER_31 - 1u)));
    __asm__ volatile("msr pmevtyper0_el0, %0" : : "r"(EVENT_INST_RETIRED)); /* at EL0 and EL1 */
    __asm__ volatile("msr pmevcntr0_el0, xzr");
    __asm__ volatile("msr pmovsclr_el0, %0" : : "r"(COUNTER_0));
    uint64_t pmcr;
    __asm__ volatile("mrs %0, pmcr_el0" : "=r"(pmcr));
    __asm__ volatile("msr pmcr_el0, %0" : : "r"(pmcr | PMCR_E));
    __asm__ volatile("msr pmcntenset_el0, %0\n\tisb" : : "r"(COUNTER_0));

    uint64_t before = read_counter();
    source = read_counter() != before ? PMU_INST_RETIRED : PMU_CNTVCT;
    calibrate();
}

void pmu_pause(void)
{
    uint64_t pmcr;
    __asm__ volatile("mrs %0, pmcr_el0" : "=r"(pmcr));
    __asm__ volatile("msr pmcr_el0, %0\n\tisb" : : "r"(pmcr & ~PMCR_E) : "memory");
}

void pmu_resume(void)
{
    uint64_t pmcr;
    __asm__ volatile("mrs %0, pmcr_el0" : "=r"(pmcr));
    __asm__ volatile("msr pmcr_el0, %0\n\tisb" : : "r"(pmcr | PMCR_E) : "memory");
}

enum pmu_source pmu_source(void)
{
    return source;
}

uint32_t pmu_overhead(void)
{
    return overhead;
}
