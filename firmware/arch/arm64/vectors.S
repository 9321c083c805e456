/*
 * The exception vectors (ARM DDI 0487 D1.3.1).
 *
 * Kernel code runs with SP_EL0 as its stack, so the four "current EL with SP0" vectors are the ordinary ones: they
 * find SP_EL1 at the top of the exception stack, independent of the kernel stack. The "current EL with SPx" vectors
 * mean that an exception handler itself faulted: they switch to the emergency stack and do not return.
 */
#include "arch/arm64/cpu.h"
#include "arch/arm64/trap.h"

    .macro  entry target
    .balign 128
    b       \target
    .endm

    .section .text.vectors, "ax"
    .balign 2048
    .globl  vectors
vectors:
    entry   sync_from_kernel
    entry   irq_from_kernel
    entry   fiq_from_kernel
    entry   serror_from_kernel
    entry   nested
    entry   nested
    entry   nested
    entry   nested
    .rept 8                             /* lower ELs, A64 then A32: nothing runs there yet */
    entry   from_user
    .endr

    .macro  save_frame
    sub     sp, sp, #TRAP_FRAME_SIZE
    stp     x0, x1, [sp, #0]
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    mrs     x0, sp_el0
    stp     x30, x0, [sp, #TRAP_X30]
    mrs     x0, elr_el1
    mrs     x1, spsr_el1
    stp     x0, x1, [sp, #TRAP_ELR]
    mrs     x0, esr_el1
    mrs     x1, far_el1
    stp     x0, x1, [sp, #TRAP_ESR]
    mov     x0, sp
    .endm

sync_from_kernel:
    save_frame
    bl      trap_sync
    b       restore_frame

irq_from_kernel:
    save_frame
    bl      trap_irq

restore_frame:
    ldp     x0, x1, [sp, #TRAP_ELR]
    msr     elr_el1, x0
    msr     spsr_el1, x1
    ldp     x30, x0, [sp, #TRAP_X30]
    msr     sp_el0, x0
    ldp     x28, x29, [sp, #224]
    ldp     x26, x27, [sp, #208]
    ldp     x24, x25, [sp, #192]
    ldp     x22, x23, [sp, #176]
    ldp     x20, x21, [sp, #160]
    ldp     x18, x19, [sp, #144]
    ldp     x16, x17, [sp, #128]
    ldp     x14, x15, [sp, #112]
    ldp     x12, x13, [sp, #96]
    ldp     x10, x11, [sp, #80]
    ldp     x8, x9, [sp, #64]
    ldp     x6, x7, [sp, #48]
    ldp     x4, x5, [sp, #32]
    ldp     x2, x3, [sp, #16]
    ldp     x0, x1, [sp, #0]
    add     sp, sp, #TRAP_FRAME_SIZE
    eret

fiq_from_kernel:
    save_frame
    bl      trap_fiq

serror_from_kernel:
    save_frame
    bl      trap_serror

from_user:
    save_frame
    bl      trap_user

/* The kernel is lost, so the EL0 thread registers may serve as scratch space until x0 and x1 are saved. */
nested:
    msr     tpidrro_el0, x0
    msr     tpidr_el0, x1
    mov     x1, sp
    mrs     x0, tpidr_el1
    ldr     x0, [x0, #CPU_EMERGENCY_SP]
    mov     sp, x0
    msr     sp_el0, x1                  /* the report's `sp` is the one that faulted */
    mrs     x0, tpidrro_el0
    mrs     x1, tpidr_el0
    save_frame
    bl      trap_nested
