/*
 * The spin table of the Pi's firmware stub (armstub8.S): core n waits in WFE at EL2, MMU off, for a non-zero
 * physical address at 0xd8 + 8n, and jumps there.
 */
#include "arch/arm64/boot_map.h"
#include "board.h"
#include "drivers/pi.h"

#define SPIN_TABLE (LOW_MEMORY_VA + 0xd8u)

extern const uint8_t boot_secondary[];

void pi_release_secondaries(void)
{
    uint64_t entry = boot_image_pa + ((uintptr_t)boot_secondary - IMAGE_VA);
    for (uint32_t core = 1; core < CPU_MAX; core++)
        *(volatile uint64_t *)(SPIN_TABLE + 8ull * core) = entry;
    /* The stub reads with caches off: the mapping is non-cacheable, the barrier makes the stores reach memory. */
    __asm__ volatile("dsb sy\n\tsev" : : : "memory");
}
