/* The kernel's own interfaces in one place, and the calls it makes into the rest of the firmware. */
#ifndef ASSAY_KERNEL_KERNEL_H
#define ASSAY_KERNEL_KERNEL_H

#include "arch/arm64/cpu.h"
#include "arch/arm64/trap.h"
#include "drivers/pmu.h"
#include "drivers/power.h"
#include "drivers/timer.h"
#include "drivers/uart.h"
#include "kernel/build_info.h"
#include "kernel/fault.h"
#include "kernel/memory.h"

/*
 * The boot core's life, on the kernel stack (32 KiB), IRQs on unless said otherwise:
 *
 *     live_init();                  firmware/live, once
 *     channel_init();               firmware/channel, once; may send
 *     for (;;) {
 *         sleep in WFI until an interrupt;      executes nothing while idle
 *         channel_poll();           until it returns false
 *     }
 */

/* Weak default: nothing. Called once, after every driver is up, before channel_init. */
void live_init(void);

/* Weak default: nothing. Called once. */
void channel_init(void);

/*
 * Weak default: drops received bytes, returns false. Called after an interrupt woke the core, and again as long
 * as it returns true ("there is more to do without waiting for an interrupt").
 */
bool channel_poll(void);

/* Cores that reached their parking loop, the boot core included; bit n is core n. */
uint32_t cpu_cores_online(void);

/* Formats into `out` (always terminated): %s %c %d %u %x %lx %lu %p with optional 0 and width. Returns length. */
int format(char *out, uint32_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
