/* Faults: the data of a fault, its containment, and the end of the kernel. */
#ifndef ASSAY_KERNEL_FAULT_H
#define ASSAY_KERNEL_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/arm64/trap.h"

#define FAULT_BACKTRACE_MAX 16
#define FAULT_TEXT_MAX      160

enum fault_kind {
    FAULT_SYNC = 0,   /* synchronous exception in kernel code */
    FAULT_SERROR = 1, /* asynchronous external abort */
    FAULT_FIQ = 2,    /* an FIQ, which is never enabled */
    FAULT_NESTED = 3, /* fault inside an exception handler */
    FAULT_PANIC = 4,  /* one of the kernel's own assertions failed */
    FAULT_USER = 5,   /* exception from a lower EL: no EL0 code runs yet */
};

struct fault_report {
    uint32_t core;
    uint32_t kind; /* enum fault_kind */
    uint64_t x[31];
    uint64_t sp;
    uint64_t elr;
    uint64_t spsr;
    uint64_t esr;
    uint64_t far;
    uint32_t backtrace_len;
    uint32_t text_len;
    uint64_t backtrace[FAULT_BACKTRACE_MAX]; /* return addresses by frame pointer, ELR first */
    char text[FAULT_TEXT_MAX];               /* ESR decoded and where FAR lies, NUL-terminated */
};

/*
 * Delivers a report to the host. Called with interrupts masked, on the exception or emergency stack, maybe while
 * a frame was being sent: must neither wait for the host nor take interrupts. The channel implements it; the weak
 * default prints text on the UART. Called again each time the host sends a byte to the dead kernel.
 */
void fault_report_send(const struct fault_report *report);

/*
 * Asked first about every synchronous exception of kernel code (not for nested ones). True: the fault was
 * contained and `frame` rewritten to resume elsewhere. Implemented by firmware/live; the weak default is false.
 * Runs on the exception stack with interrupts masked.
 */
bool live_contain_fault(struct trap_frame *frame);

/* Ends the kernel with a report of kind FAULT_PANIC. For failed assertions; never returns. Any context. */
_Noreturn void panic(const char *message);

/* A one-line meaning of an ESR ("Data Abort, same EL: translation fault, level 3, write"); `out` is terminated. */
void fault_describe(uint64_t esr, uint64_t far, char *out, uint32_t size);

#endif
