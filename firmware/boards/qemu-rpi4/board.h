/*
 * Raspberry Pi 4 (BCM2711), on QEMU `raspi4b`. Addresses: BCM2711 ARM Peripherals, low peripheral mode (bus
 * 0x7e...... is 0xfe......). config.txt on silicon: arm_64bit=1, enable_gic=1 (the default), dtoverlay=disable-bt,
 * init_uart_clock=48000000.
 */
#ifndef ASSAY_BOARD_H
#define ASSAY_BOARD_H

#include "arch/arm64/memlayout.h"

#define BOARD_NAME        "qemu-rpi4"
#define BOARD_RAM_BASE    0x0
#define BOARD_TEXT_OFFSET 0x80000
#define BOARD_IMAGE_PA    0x80000

#define BOARD_GICD_PA 0xff841000
#define BOARD_GICC_PA 0xff842000

#define LOW_MEMORY_VA (DEVICES_VA + U64(0x00000))
#define GPIO_VA       (DEVICES_VA + U64(0x10000))
#define UART_VA       (DEVICES_VA + U64(0x11000))
#define GICD_VA       (DEVICES_VA + U64(0x20000))
#define GICC_VA       (DEVICES_VA + U64(0x21000))
#define PM_VA         (DEVICES_VA + U64(0x30000))
#ifndef UART_CLOCK_HZ
#define UART_CLOCK_HZ 48000000u
#endif
#define IRQ_UART  153u /* SPI 121, shared by the PL011s */
#define IRQ_TIMER 27u  /* PPI 11: EL1 virtual timer */

#define BOARD_PI           1
#define BOARD_GPIO_BCM2711 1 /* pull-ups by GPIO_PUP_PDN_CNTRL */

#define BOARD_DEVICES                                                                                        \
    {                                                                                                        \
        {LOW_MEMORY_VA, 0x00000000, 0x1000, true}, /* the firmware's spin table */                           \
        {GPIO_VA, 0xfe200000, 0x2000, false},      /* GPIO and, a page on, UART0 */                          \
        {GICD_VA, BOARD_GICD_PA, 0x1000, false},   {GICC_VA, BOARD_GICC_PA, 0x2000, false},                  \
        {PM_VA, 0xfe100000, 0x1000, false},                                                                  \
    }

#ifndef __ASSEMBLER__
/* Pins and clocks the UART needs; called with MMU on, before uart_init. */
void board_init(void);

/* Brings the other cores to boot_secondary, where the board lets them run at all. */
void board_start_secondaries(void);
#endif

#endif
