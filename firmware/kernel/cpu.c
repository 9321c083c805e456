/* The per-CPU blocks, and the secondary cores, which are parked in WFI. */
#include "board.h"
#include "drivers/intc.h"
#include "kernel/kernel.h"
#include "kernel/start.h"

#define SECONDARY_WAIT_NS 1000000000ull

struct cpu cpus[CPU_MAX];

void cpu_blocks_init(void)
{
    for (uint32_t core = 0; core < CPU_MAX; core++) {
        uint64_t stacks = STACKS_VA + core * STACK_STRIDE;
        cpus[core].core = core;
        cpus[core].kernel_sp = stacks + KERNEL_STACK_BASE + KERNEL_STACK_SIZE;
        cpus[core].exception_sp = stacks + EXCEPTION_STACK_BASE + EXCEPTION_STACK_SIZE;
        cpus[core].emergency_sp = stacks + EMERGENCY_STACK_BASE + EMERGENCY_STACK_SIZE;
        cpus[core].active_line = INTC_NONE;
    }
}

void cpu_online(void)
{
    struct cpu *cpu = this_cpu();
    __asm__("mrs %0, mpidr_el1" : "=r"(cpu->mpidr));
    __atomic_store_n(&cpu->online, 1u, __ATOMIC_RELEASE);
}

uint32_t cpu_cores_online(void)
{
    uint32_t mask = 0;
    for (uint32_t core = 0; core < CPU_MAX; core++)
        mask |= __atomic_load_n(&cpus[core].online, __ATOMIC_ACQUIRE) << core;
    return mask;
}

void cpu_start_secondaries(void)
{
    board_start_secondaries();
#ifdef BOARD_PI
    /* They run a few hundred instructions and sleep; wait, so that no measurement counts them. */
    uint64_t end = timer_now_ns() + SECONDARY_WAIT_NS;

    while (cpu_cores_online() != (1u << CPU_MAX) - 1u && timer_now_ns() < end)
        __asm__ volatile("yield"); /* under -icount the cores take turns */
#endif
}

/* Runs with every interrupt masked and every line of its own off, so that nothing wakes it. */
_Noreturn void cpu_secondary_main(uint32_t core)
{
    (void)core;
    intc_init_core();
    __asm__ volatile("msr cntv_ctl_el0, xzr\n\tmsr pmcntenclr_el0, %0\n\tisb" : : "r"(0xffffffffull));
    cpu_online();
    for (;;)
        wait_for_interrupt();
}
