/*
 * From the state that firmware left to C at EL1, at high addresses, with MMU and caches on.
 *
 * Entered with MMU and data cache off, at EL1, EL2 or EL3, at any 4 KiB aligned physical address, on the boot core
 * (boot_primary) or through the spin table (boot_secondary). Everything before `high` runs at its physical address:
 * only PC-relative addressing there.
 */
#include "arch/arm64/cpu.h"
#include "arch/arm64/memlayout.h"
#include "arch/arm64/sysreg.h"
#include "board.h"

    .section .text.boot, "ax"

/* The Linux arm64 image header (Documentation/arch/arm64/booting.rst), which real Pi firmware and QEMU read. */
    .globl _start
_start:
    b       boot_primary
    .long   0
    .quad   BOARD_TEXT_OFFSET           /* from the start of RAM */
    .quad   IMAGE_SIZE + POOLS_SIZE     /* memory used from the load address, .bss included */
    .quad   0x2                         /* little-endian, 4 KiB pages */
    .quad   0
    .quad   0
    .quad   0
    .ascii  "ARM\x64"
    .long   0

/* Leaves EL3 and EL2 for EL1 with MMU off and returns there; the EL of entry in x19. Clobbers x0, x1. */
drop_to_el1:
    mrs     x19, CurrentEL
    lsr     x19, x19, #2
    cmp     x19, #2
    b.lo    at_el1
    b.eq    at_el2

    /* EL3: no firmware set up the secure side. Non-secure below, AArch64, HVC on, SMC off. */
    mov     x0, #0x5b1                  /* SCR_EL3: RW | HCE | SMD | RES1 | NS */
    msr     scr_el3, x0
    msr     cptr_el3, xzr
    msr     mdcr_el3, xzr
#ifdef BOARD_GICD_PA
    /* Interrupts come up in Group 0, which Non-secure code cannot see (IHI 0048B 4.3.4): all to Group 1. */
    ldr     x0, =BOARD_GICD_PA
    mov     w1, #0xffffffff
    .irp    n, 0, 1, 2, 3, 4, 5, 6, 7
    str     w1, [x0, #(0x80 + 4 * \n)]
    .endr
    ldr     x0, =BOARD_GICC_PA
    mov     w1, #0xff
    str     w1, [x0, #4]                /* GICC_PMR: let Non-secure priorities through */
#endif
    mrs     x0, id_aa64pfr0_el1
    tst     x0, #0xf00                  /* EL2 implemented? */
    b.eq    1f
    mov     x0, #0x3c9                  /* EL2h, DAIF masked */
    msr     spsr_el3, x0
    adr     x0, at_el2
    msr     elr_el3, x0
    eret
1:  mov     x0, #0x3c5                  /* EL1h, DAIF masked */
    msr     spsr_el3, x0
    adr     x0, at_el1
    msr     elr_el3, x0
    eret

at_el2:
    mov     x0, #0x80000000             /* HCR_EL2: EL1 is AArch64, nothing trapped */
    msr     hcr_el2, x0
    mov     x0, #3                      /* CNTHCTL_EL2: EL1 may use the physical counter and timer */
    msr     cnthctl_el2, x0
    msr     cntvoff_el2, xzr
    mrs     x0, pmcr_el0                /* MDCR_EL2.HPMN: every event counter belongs to EL1 */
    ubfx    x0, x0, #11, #5
    msr     mdcr_el2, x0
    mov     x0, #0x33ff                 /* CPTR_EL2: RES1, no traps */
    msr     cptr_el2, x0
    msr     hstr_el2, xzr
    msr     vttbr_el2, xzr
    mrs     x0, midr_el1
    msr     vpidr_el2, x0
    mrs     x0, mpidr_el1
    msr     vmpidr_el2, x0
    ldr     x0, =SCTLR_EL1_RES1
    msr     sctlr_el1, x0
    mov     x0, #0x3c5                  /* EL1h, DAIF masked */
    msr     spsr_el2, x0
    adr     x0, at_el1
    msr     elr_el2, x0
    eret

at_el1:
    ldr     x0, =SCTLR_EL1_RES1
    msr     sctlr_el1, x0
    msr     cpacr_el1, xzr              /* FP and SIMD trap: the kernel is built without */
    mov     x0, #0x1000                 /* MDSCR_EL1.TDCC: EL0 has no debug channel */
    msr     mdscr_el1, x0
    isb
    ret

boot_primary:
    msr     daifset, #0xf
    mrs     x0, mpidr_el1
    and     x0, x0, #0xff
    cbnz    x0, park_raw                /* an ELF loader may start every core here */
    bl      drop_to_el1

    /*
     * Invalidate cached lines of the tables and of the boot stack before writing them uncached: a dirty line of the
     * firmware would overwrite them later, a clean one would be read instead of them (D7.5.9).
     */
    bl      invalidate_boot_data
    adrp    x0, kernel_boot_data_start
    adrp    x1, kernel_boot_data_end
1:  stp     xzr, xzr, [x0], #16
    cmp     x0, x1
    b.lo    1b

    msr     spsel, #0
    adrp    x0, boot_stack_top
    mov     sp, x0
    mov     x29, xzr
    mov     x30, xzr
    adr     x0, _start
    mov     x1, x19
    bl      boot_map
    bl      invalidate_boot_data
    mov     x20, #0
    b       enable_mmu

/* Cores released by the spin table, at EL2. The boot core has prepared the tables. */
    .globl boot_secondary
boot_secondary:
    msr     daifset, #0xf
    bl      drop_to_el1
    mrs     x20, mpidr_el1
    and     x20, x20, #0xff
    cmp     x20, #CPU_MAX
    b.hs    park_raw

/* x20: core number. Turns MMU and caches on over the identity map and jumps high. */
enable_mmu:
    ldr     x0, =MAIR_EL1
    msr     mair_el1, x0
    ldr     x0, =TCR_EL1_COMMON
    mrs     x1, id_aa64mmfr0_el1        /* IPS = PARange, at most 48 bits */
    and     x1, x1, #7
    cmp     x1, #5
    mov     x2, #5
    csel    x1, x1, x2, ls
    orr     x0, x0, x1, lsl #TCR_IPS_SHIFT
    msr     tcr_el1, x0
    orr     x21, x0, #TCR_EPD0
    adrp    x1, boot_table_l0_identity
    msr     ttbr0_el1, x1
    adrp    x1, boot_table_l0_kernel
    msr     ttbr1_el1, x1
    dsb     ish
    tlbi    vmalle1
    ic      iallu                       /* nothing stale may be fetched (D7.5.2) */
    dsb     ish
    isb
    ldr     x0, =SCTLR_EL1_ON
    msr     sctlr_el1, x0
    isb
    ldr     x0, =high
    br      x0

/* Physical-address loop for cores that are not used. */
park_raw:
    wfi
    b       park_raw

/* Invalidates [kernel_boot_data_start, kernel_boot_data_end) to the point of coherency. Clobbers x0-x3. */
invalidate_boot_data:
    mrs     x2, ctr_el0
    ubfx    x2, x2, #16, #4             /* DminLine: log2 of words */
    mov     x3, #4
    lsl     x2, x3, x2
    adrp    x0, kernel_boot_data_start
    adrp    x1, kernel_boot_data_end
1:  dc      ivac, x0
    add     x0, x0, x2
    cmp     x0, x1
    b.lo    1b
    dsb     sy
    ret

    .ltorg

/* From here on at the linked address. TTBR0 is disabled: EPD0 makes every low address a translation fault. */
    .text
high:
    msr     tcr_el1, x21
    msr     ttbr0_el1, xzr
    isb
    tlbi    vmalle1
    dsb     nsh
    isb
    adrp    x0, vectors
    add     x0, x0, :lo12:vectors
    msr     vbar_el1, x0

    /* Stacks of core x20 (memlayout.h), and its block. */
    ldr     x0, =STACKS_VA
    mov     x1, #STACK_STRIDE
    madd    x0, x20, x1, x0
    mov     x1, #(EXCEPTION_STACK_BASE + EXCEPTION_STACK_SIZE)
    add     x1, x0, x1
    msr     spsel, #1
    mov     sp, x1
    msr     spsel, #0
    mov     x1, #(KERNEL_STACK_BASE + KERNEL_STACK_SIZE)
    add     x1, x0, x1
    mov     sp, x1
    adrp    x0, cpus
    add     x0, x0, :lo12:cpus
    mov     x1, #CPU_SIZE
    madd    x0, x20, x1, x0
    msr     tpidr_el1, x0
    mov     x29, xzr
    mov     x30, xzr
    cbnz    x20, secondary

    adrp    x0, kernel_bss_start
    add     x0, x0, :lo12:kernel_bss_start
    adrp    x1, kernel_bss_end
    add     x1, x1, :lo12:kernel_bss_end
1:  cmp     x0, x1
    b.hs    2f
    stp     xzr, xzr, [x0], #16
    b       1b
2:  b       kernel_main

secondary:
    mov     x0, x20
    b       cpu_secondary_main

    .section .bss.boot, "aw", %nobits
    .balign PAGE_SIZE
    .space  PAGE_SIZE
boot_stack_top:
