/* GPIO of the Pi: puts PL011 on the header's pins 8 and 10 (GPIO14 TXD, GPIO15 RXD, ALT0). */
#include "board.h"
#include "drivers/mmio.h"
#include "drivers/pi.h"

#define GPFSEL1   (GPIO_VA + 0x04u) /* three bits a pin, GPIO10 to 19 (BCM2835 ARM Peripherals 6.1) */
#define GPPUD     (GPIO_VA + 0x94u)
#define GPPUDCLK0 (GPIO_VA + 0x98u)
#define GPPUPPDN0 (GPIO_VA + 0xe4u) /* two bits a pin, GPIO0 to 15 (BCM2711 ARM Peripherals 5.2) */

#define FSEL_ALT0 4u

#ifdef BOARD_GPIO_BCM2835
/* BCM2835 ARM Peripherals 6.1, GPPUD: hold each step for 150 cycles. */
static void settle(void)
{
    for (uint32_t i = 0; i < 150; i++)
        __asm__ volatile("nop");
}
#endif

/* Boot only: selects ALT0 on GPIO14/15, pull-up on RXD so that an open line reads idle, none on TXD. */
void pi_gpio_uart(void)
{
    uint32_t select = mmio_read(GPFSEL1);
    select &= ~((7u << 12) | (7u << 15));
    select |= (FSEL_ALT0 << 12) | (FSEL_ALT0 << 15);
    mmio_write(GPFSEL1, select);

#ifdef BOARD_GPIO_BCM2835
    mmio_write(GPPUD, 0);
    settle();
    mmio_write(GPPUDCLK0, 1u << 14);
    settle();
    mmio_write(GPPUDCLK0, 0);
    mmio_write(GPPUD, 2); /* pull up */
    settle();
    mmio_write(GPPUDCLK0, 1u << 15);
    settle();
    mmio_write(GPPUD, 0);
    mmio_write(GPPUDCLK0, 0);
#else
    uint32_t pulls = mmio_read(GPPUPPDN0);

    pulls &= ~((3u << 28) | (3u << 30));
    pulls |= 1u << 30; /* pull up */
    mmio_write(GPPUPPDN0, pulls);
#endif
}
