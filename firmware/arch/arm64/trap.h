/* The trap frame: the state that an exception saved and its return restores. */
#ifndef ASSAY_ARCH_TRAP_H
#define ASSAY_ARCH_TRAP_H

#define TRAP_FRAME_SIZE 288 /* bytes; vectors.S knows the layout below by these offsets */
#define TRAP_X30        240
#define TRAP_ELR        256
#define TRAP_ESR        272

#ifndef __ASSEMBLER__

#include <stddef.h>
#include <stdint.h>

/*
 * Kernel code runs at EL1 with SPSel = 0: its stack pointer is SP_EL0, and every exception lands on the core's
 * own exception stack (SP_EL1). A handler may rewrite any field but esr and far: the exception return restores
 * x0-x30, the interrupted stack pointer `sp` (SP_EL0), the program counter `elr` and PSTATE `spsr`.
 */
struct trap_frame {
    uint64_t x[31]; /* x0 .. x30 */
    uint64_t sp;    /* stack pointer of the interrupted code */
    uint64_t elr;   /* its program counter */
    uint64_t spsr;  /* its PSTATE, in SPSR_EL1's format (ARM DDI 0487 C5.2.18) */
    uint64_t esr;   /* why (synchronous exceptions and SError only), ARM DDI 0487 D17.2.37 */
    uint64_t far;   /* faulting address, valid for aborts */
};

_Static_assert(sizeof(struct trap_frame) == TRAP_FRAME_SIZE, "vectors.S and struct trap_frame disagree");
_Static_assert(offsetof(struct trap_frame, x[30]) == TRAP_X30, "TRAP_X30");
_Static_assert(offsetof(struct trap_frame, elr) == TRAP_ELR, "TRAP_ELR");
_Static_assert(offsetof(struct trap_frame, esr) == TRAP_ESR, "TRAP_ESR");

#define SPSR_EL1T  0x4u   /* EL1, SP_EL0: the mode kernel code runs in */
#define SPSR_I     0x80u  /* IRQ masked */
#define ESR_EC(e)  (((e) >> 26) & 0x3fu)
#define ESR_ISS(e) ((e) & 0x1ffffffu)

#define EC_UNKNOWN       0x00u
#define EC_ILLEGAL_STATE 0x0eu
#define EC_IABT_SAME_EL  0x21u
#define EC_PC_ALIGNMENT  0x22u
#define EC_DABT_SAME_EL  0x25u
#define EC_SP_ALIGNMENT  0x26u
#define EC_BRK           0x3cu

#endif
#endif
