/* PMUv3 event counter 0 counting INST_RETIRED (ARM DDI 0487 D13), and CNTVCT (D11) where it says something else. */
#include "drivers/pmu.h"

#include <stdbool.h>

#include "drivers/timer.h"

#define EVENT_INST_RETIRED 0x08ull
#define PMCR_E             1ull
#define COUNTER_0          1ull
#define COUNTER_31         0x80000000ull

#define WINDOWS 64u /* empty windows that are timed together: one takes about a tick */
#define ROUNDS  8u

static bool counted, timed;
static uint32_t overhead; /* instructions of an empty window */
static uint32_t overhead_ns; /* its time, once timed */
static uint64_t wraps; /* 2^32 times the overflows that pmu_instructions has seen */

/* The ISB keeps the read from being executed early: counter reads are not ordered otherwise (D13.1.3). */
static inline uint64_t read_counter(void)
{
    uint64_t count;
    __asm__ volatile("isb\n\tmrs %0, pmevcntr0_el0" : "=r"(count) : : "memory");
    return count;
}

static inline uint32_t read_ticks(void)
{
    uint64_t ticks;
    __asm__ volatile("isb\n\tmrs %0, cntvct_el0" : "=r"(ticks) : : "memory");
    return (uint32_t)ticks;
}

/* The time is read outside of the instructions' window, which is the same then with and without it. */
__attribute__((noinline)) struct pmu_window pmu_begin(void)
{
    if (!timed)
        return (struct pmu_window){(uint32_t)read_counter(), 0};
    uint32_t ticks = read_ticks();
    return (struct pmu_window){(uint32_t)read_counter(), ticks};
}

static uint32_t instructions_since(struct pmu_window begin, uint32_t now)
{
    uint32_t elapsed = now - begin.instructions;
    return elapsed > overhead ? elapsed - overhead : 0;
}

static __attribute__((noinline)) struct pmu_cost end_timed(struct pmu_window begin, uint32_t now)
{
    uint64_t ns = timer_ticks_to_ns(read_ticks() - begin.ticks);
    return (struct pmu_cost){instructions_since(begin, now), ns > overhead_ns ? ns - overhead_ns : 0};
}

__attribute__((noinline)) struct pmu_cost pmu_end(struct pmu_window begin)
{
    uint32_t now = (uint32_t)read_counter();
    return timed ? end_timed(begin, now) : (struct pmu_cost){instructions_since(begin, now), 0};
}

uint64_t pmu_ns_from(uint32_t ticks, struct pmu_window window)
{
    uint32_t passed = window.ticks - ticks;
    return timed && passed <= INT32_MAX ? timer_ticks_to_ns(passed) : 0;
}

uint64_t pmu_instructions(void)
{
    if (!counted)
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
    overhead = 0;
    overhead_ns = 0;
    uint64_t least = UINT32_MAX;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint64_t cost = pmu_end(pmu_begin()).instructions;
        least = cost < least ? cost : least;
    }
    overhead = (uint32_t)least;

    least = UINT32_MAX;
    for (uint32_t i = 0; timed && i < ROUNDS; i++) {
        uint64_t sum = 0;
        for (uint32_t n = 0; n < WINDOWS; n++)
            sum += pmu_end(pmu_begin()).ns;
        least = sum < least ? sum : least;
    }
    overhead_ns = timed ? (uint32_t)(least / WINDOWS) : 0;
}

/* Whether what ran from `begin` to `end` took as many nanoseconds as it has instructions, to two ticks. */
static bool one_ns_each(struct pmu_window begin, struct pmu_window end)
{
    uint64_t tolerance = timer_ticks_to_ns(2);
    uint64_t ns = timer_ticks_to_ns(end.ticks - begin.ticks);
    uint32_t instructions = end.instructions - begin.instructions;
    return ns <= instructions + tolerance && instructions <= ns + tolerance;
}

/*
 * Whether time is modelled: an instruction is a nanosecond, whatever it does. No processor runs NOPs and barriers at
 * one pace, so nobody has to tell a kernel whether it is on silicon.
 */
static bool time_is_modelled(void)
{
    struct pmu_window begin = pmu_begin();
    for (uint32_t i = 0; i < 64u; i++)
        __asm__ volatile(".rept 16\n\tnop\n\t.endr");
    struct pmu_window between = pmu_begin();
    for (uint32_t i = 0; i < 64u; i++)
        __asm__ volatile(".rept 16\n\tisb\n\t.endr" : : : "memory");
    return one_ns_each(begin, between) && one_ns_each(between, pmu_begin());
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
    counted = read_counter() != before;
    timed = true;
    timed = timer_frequency_hz() != 0 && !(counted && time_is_modelled());
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

bool pmu_counts_instructions(void)
{
    return counted;
}

bool pmu_takes_time(void)
{
    return timed;
}

uint32_t pmu_overhead(void)
{
    return overhead;
}

uint32_t pmu_overhead_ns(void)
{
    return overhead_ns;
}
