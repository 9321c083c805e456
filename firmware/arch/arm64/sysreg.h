/* System register bits that boot.S and C share, under the manual's names (ARM DDI 0487 D17). */
#ifndef ASSAY_ARCH_SYSREG_H
#define ASSAY_ARCH_SYSREG_H

/* SCTLR_EL1: RES1 of ARMv8.0, MMU and caches off, no alignment check. */
#define SCTLR_EL1_RES1 0x30d00800
#define SCTLR_M        0x00000001
#define SCTLR_C        0x00000004
#define SCTLR_SA       0x00000008
#define SCTLR_I        0x00001000
#define SCTLR_WXN      0x00080000
#define SCTLR_EL1_ON   (SCTLR_EL1_RES1 | SCTLR_M | SCTLR_C | SCTLR_SA | SCTLR_I | SCTLR_WXN)

/* MAIR_EL1: index 0 Device-nGnRE, 1 Normal write-back read/write-allocate, 2 Normal non-cacheable. */
#define MAIR_DEVICE  0
#define MAIR_NORMAL  1
#define MAIR_NOCACHE 2
#define MAIR_EL1     0x0044ff04

/*
 * TCR_EL1: both halves 48-bit (T0SZ = T1SZ = 16), 4 KiB granules (TG0 = 0b00, TG1 = 0b10), walks inner shareable
 * and write-back cacheable. IPS is filled in from ID_AA64MMFR0_EL1 at run time.
 */
#define TCR_EPD0       0x0000000000000080
#define TCR_EL1_COMMON 0x00000000b5103510
#define TCR_IPS_SHIFT  32

/* Translation table descriptors (D8.3). */
#define PTE_TABLE       0x3ull
#define PTE_BLOCK       0x1ull
#define PTE_PAGE        0x3ull
#define PTE_RO          0x0000000000000080ull /* AP[2] */
#define PTE_INNER       0x0000000000000300ull /* SH = 0b11 */
#define PTE_AF          0x0000000000000400ull
#define PTE_PXN         0x0020000000000000ull
#define PTE_UXN         0x0040000000000000ull
#define PTE_ATTR(index) ((unsigned long long)(index) << 2)

#endif
