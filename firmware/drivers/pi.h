/* What the two Pi boards share. */
#ifndef ASSAY_DRIVERS_PI_H
#define ASSAY_DRIVERS_PI_H

/* Puts the PL011 on GPIO14/15. Boot only. */
void pi_gpio_uart(void);

/* Releases the firmware's spin table (0xd8 + 8n) to boot_secondary. Boot only, once. */
void pi_release_secondaries(void);

#endif
