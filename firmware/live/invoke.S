/*
 * The entry into JIT code, and its two exits: a return, and containment, which continues at invoke_leave with
 * x0, x19, x21 to x29 and SP rewritten (invoke.c).
 */
#define INVOCATION_SAVED 0

    .section .text.invoke_enter, "ax"
    .balign 16
/* uint64_t invoke_enter(void *context, uint64_t size, uintptr_t code, struct invocation *invocation, void **live) */
    .globl  invoke_enter
    .type   invoke_enter, %function
invoke_enter:
    stp     x29, x30, [sp, #-32]!
    stp     x19, x20, [sp, #16]
    mov     x29, sp
    stp     x21, x22, [x3, #INVOCATION_SAVED + 0]
    stp     x23, x24, [x3, #INVOCATION_SAVED + 16]
    stp     x25, x26, [x3, #INVOCATION_SAVED + 32]
    stp     x27, x28, [x3, #INVOCATION_SAVED + 48]
    stp     x29, x29, [x3, #INVOCATION_SAVED + 64]  /* SP is x29 here */
    mov     x19, x4
    str     x3, [x19]                   /* from here on a fault in the code is contained */
    blr     x2
    .globl  invoke_leave
invoke_leave:
    str     xzr, [x19]
    ldp     x19, x20, [sp, #16]
    ldp     x29, x30, [sp], #32
    ret
    .size   invoke_enter, . - invoke_enter
