/* Ending and restarting the machine. */
#ifndef ASSAY_DRIVERS_POWER_H
#define ASSAY_DRIVERS_POWER_H

/* Powers the board off (PSCI SYSTEM_OFF, or the Pi's watchdog with the halt partition); parks if that fails. */
_Noreturn void power_off(void);

/* Restarts the board (PSCI SYSTEM_RESET, or the Pi's watchdog); parks if that fails. */
_Noreturn void power_reset(void);

#endif
