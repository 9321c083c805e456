/* One block per core, found through TPIDR_EL1, and a few common PSTATE operations. */
#ifndef ASSAY_ARCH_CPU_H
#define ASSAY_ARCH_CPU_H

#define CPU_MAX 4

/* Offsets that boot.S and vectors.S use; checked below. */
#define CPU_KERNEL_SP    8
#define CPU_EXCEPTION_SP 16
#define CPU_EMERGENCY_SP 24
#define CPU_SIZE         128

#ifndef __ASSEMBLER__

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cpu {
    uint32_t core;               /* 0 is the boot core */
    uint32_t online;             /* 1 once the core runs high with its own stacks */
    uint64_t kernel_sp;          /* top of the kernel stack (SP_EL0 outside exceptions) */
    uint64_t exception_sp;       /* top of the exception stack (SP_EL1) */
    uint64_t emergency_sp;       /* top of the stack for faults inside exception handlers */
    uint64_t mpidr;              /* MPIDR_EL1 as read on this core */
    volatile uint64_t irqs;      /* interrupts taken */
    uint64_t spurious_irqs;      /* acknowledged, but nothing was pending */
    uint32_t in_exception;       /* an exception handler is running on this core */
    uint32_t faults;             /* faults reported: 1 in a panic, 2 when that panic faulted too */
    uint32_t active_line;        /* interrupt being handled, or INTC_NONE */
    uint32_t reserved;
    void *live;                  /* `invocation` while an extension runs here, else null */
    void *invocation;            /* this core's call of an extension; both are owned by firmware/live */
} __attribute__((aligned(CPU_SIZE))); /* no two cores share a cache line */

_Static_assert(offsetof(struct cpu, kernel_sp) == CPU_KERNEL_SP, "CPU_KERNEL_SP");
_Static_assert(offsetof(struct cpu, exception_sp) == CPU_EXCEPTION_SP, "CPU_EXCEPTION_SP");
_Static_assert(offsetof(struct cpu, emergency_sp) == CPU_EMERGENCY_SP, "CPU_EMERGENCY_SP");

_Static_assert(sizeof(struct cpu) == CPU_SIZE, "CPU_SIZE");

extern struct cpu cpus[CPU_MAX];

/* The calling core's block. Valid everywhere after boot, also in exception handlers. */
static inline struct cpu *this_cpu(void)
{
    struct cpu *cpu;
    __asm__("mrs %0, tpidr_el1" : "=r"(cpu));
    return cpu;
}

/* Masks IRQs on this core; returns the DAIF to hand to irq_restore. Nests. */
static inline uint64_t irq_save(void)
{
    uint64_t daif;
    __asm__ volatile("mrs %0, daif\n\tmsr daifset, #2" : "=r"(daif) : : "memory");
    return daif;
}

/* Restores the IRQ mask that irq_save returned. */
static inline void irq_restore(uint64_t daif)
{
    __asm__ volatile("msr daif, %0" : : "r"(daif) : "memory");
}

static inline void irq_enable(void)
{
    __asm__ volatile("msr daifclr, #2" : : : "memory");
}

static inline void irq_disable(void)
{
    __asm__ volatile("msr daifset, #2" : : : "memory");
}

/* Sleeps until an interrupt is pending; also wakes with IRQs masked (ARM DDI 0487 D1.7.1). */
static inline void wait_for_interrupt(void)
{
    __asm__ volatile("dsb sy\n\twfi" : : : "memory");
}

#endif
#endif
