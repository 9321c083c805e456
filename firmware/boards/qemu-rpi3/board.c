/* A Pi: PL011 on the header, other cores out of the firmware's spin table. */
#include "board.h"
#include "drivers/pi.h"

void board_init(void)
{
    pi_gpio_uart();
}

void board_start_secondaries(void)
{
    pi_release_secondaries();
}
