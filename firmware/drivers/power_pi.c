/*
 * Power on the Pi: the PM block's watchdog. A full reset with partition 63 in PM_RSTS tells the boot firmware to
 * halt instead of starting (QEMU's bcm2835_powermgt ends the machine), without it to start again.
 */
#include "drivers/power.h"

#include "arch/arm64/cpu.h"
#include "board.h"
#include "drivers/mmio.h"
#include "drivers/uart.h"

#define PM_RSTC (PM_VA + 0x1cu)
#define PM_RSTS (PM_VA + 0x20u)
#define PM_WDOG (PM_VA + 0x24u)

#define PASSWORD       0x5a000000u
#define RSTC_WRCFG     0x00000030u
#define RSTC_FULL      0x00000020u
#define RSTS_PARTITION 0x00000555u /* every other bit: partition 63 */
#define WDOG_TICKS     10u         /* of 16 us */

static _Noreturn void restart(uint32_t partition)
{
    uart_flush();
    irq_disable();
    mmio_write(PM_RSTS, PASSWORD | (mmio_read(PM_RSTS) & ~(PASSWORD | RSTS_PARTITION)) | partition);
    mmio_write(PM_WDOG, PASSWORD | WDOG_TICKS);
    mmio_write(PM_RSTC, PASSWORD | (mmio_read(PM_RSTC) & ~(PASSWORD | RSTC_WRCFG)) | RSTC_FULL);
    for (;;)
        wait_for_interrupt();
}

_Noreturn void power_off(void)
{
    restart(RSTS_PARTITION);
}

_Noreturn void power_reset(void)
{
    restart(0);
}
