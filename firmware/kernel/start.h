/* Boot's internal steps, in the order main.c takes them. */
#ifndef ASSAY_KERNEL_START_H
#define ASSAY_KERNEL_START_H

#include <stdint.h>

/* Fills every core's block; until then no exception may happen. */
void cpu_blocks_init(void);

/* Marks the calling core as running. */
void cpu_online(void);

/* Lets the other cores into cpu_secondary_main and waits, bounded, until they sleep. */
void cpu_start_secondaries(void);

_Noreturn void kernel_main(void);
_Noreturn void cpu_secondary_main(uint32_t core);

#endif
