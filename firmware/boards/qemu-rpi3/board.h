/*
 * Raspberry Pi 3 (BCM2837), on QEMU `raspi3b`. Addresses: BCM2835 ARM Peripherals (bus 0x7e...... is 0x3f......),
 * BCM2836 ARM-local peripherals (QA7). config.txt on silicon: arm_64bit=1, dtoverlay=disable-bt (PL011 on the
 * header), init_uart_clock=48000000.
 */
#ifndef ASSAY_BOARD_H
#define ASSAY_BOARD_H

#include "arch/arm64/memlayout.h"

#define BOARD_NAME        "qemu-rpi3"
#define BOARD_RAM_BASE    0x0
#define BOARD_TEXT_OFFSET 0x80000
#define BOARD_IMAGE_PA    0x80000

#define LOW_MEMORY_VA (DEVICES_VA + U64(0x00000))
#define GPIO_VA       (DEVICES_VA + U64(0x10000))
#define UART_VA       (DEVICES_VA + U64(0x11000))
#define ARMCTRL_VA    (DEVICES_VA + U64(0x20000))
#define PM_VA         (DEVICES_VA + U64(0x30000))
#define LOCAL_VA      (DEVICES_VA + U64(0x40000))
#ifndef UART_CLOCK_HZ
#define UART_CLOCK_HZ 48000000u
#endif
#define IRQ_UART  (64u + 57u) /* ARMCTRL line 57 */
#define IRQ_TIMER 3u          /* local source 3: CNTVIRQ */

#define BOARD_PI           1
#define BOARD_GPIO_BCM2835 1 /* pull-ups by GPPUD */

#define BOARD_DEVICES                                                                                        \
    {                                                                                                        \
        {LOW_MEMORY_VA, 0x00000000, 0x1000, true}, /* the firmware's spin table */                           \
        {GPIO_VA, 0x3f200000, 0x2000, false},      /* GPIO and, a page on, UART0 */                          \
        {ARMCTRL_VA, 0x3f00b000, 0x1000, false},   {PM_VA, 0x3f100000, 0x1000, false},                       \
        {LOCAL_VA, 0x40000000, 0x1000, false},                                                               \
    }

#ifndef __ASSEMBLER__
/* Pins and clocks the UART needs; called with MMU on, before uart_init. */
void board_init(void);

/* Brings the other cores to boot_secondary, where the board lets them run at all. */
void board_start_secondaries(void);
#endif

#endif
