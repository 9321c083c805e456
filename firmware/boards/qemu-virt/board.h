/* QEMU `-M virt,gic-version=2 -cpu cortex-a72`: PL011, GICv2, PSCI. Addresses: QEMU hw/arm/virt.c memory map. */
#ifndef ASSAY_BOARD_H
#define ASSAY_BOARD_H

#include "arch/arm64/memlayout.h"

#define BOARD_NAME        "qemu-virt"
#define BOARD_RAM_BASE    0x40000000
#define BOARD_TEXT_OFFSET 0x200000 /* the first 2 MiB hold the device tree, rewritten at every reset */
#define BOARD_IMAGE_PA    0x40200000

#define BOARD_GICD_PA 0x08000000
#define BOARD_GICC_PA 0x08010000

#define UART_VA (DEVICES_VA + U64(0x00000))
#define GICD_VA (DEVICES_VA + U64(0x10000))
#define GICC_VA (DEVICES_VA + U64(0x20000))
#ifndef UART_CLOCK_HZ
#define UART_CLOCK_HZ 24000000u
#endif
#define IRQ_UART  33u /* SPI 1 */
#define IRQ_TIMER 27u /* PPI 11: EL1 virtual timer */

#define BOARD_HAS_PSCI 1

#define BOARD_DEVICES                                                                                        \
    {                                                                                                        \
        {UART_VA, 0x09000000, 0x1000, false},                                                                \
        {GICD_VA, BOARD_GICD_PA, 0x1000, false},                                                             \
        {GICC_VA, BOARD_GICC_PA, 0x2000, false},                                                             \
    }

#ifndef __ASSEMBLER__
/* Pins and clocks the UART needs; called with MMU on, before uart_init. */
void board_init(void);

/* Brings the other cores to boot_secondary, where the board lets them run at all. */
void board_start_secondaries(void);
#endif

#endif
