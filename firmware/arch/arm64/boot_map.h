/* What the boot tables leave to the running kernel. */
#ifndef ASSAY_ARCH_BOOT_MAP_H
#define ASSAY_ARCH_BOOT_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/arm64/cpu.h"

/* One device (or stretch of low memory) of a board, at its fixed virtual address. Whole pages. */
struct board_device {
    uint64_t va;
    uint64_t pa;
    uint64_t size;
    bool is_memory; /* Normal non-cacheable instead of Device-nGnRE */
};

extern uint64_t boot_table_l3_alias[];
extern uint64_t boot_image_pa; /* where the image was loaded */
extern uint64_t boot_entry_el; /* 1, 2 or 3: tells the PSCI conduit */

void boot_map(uint64_t image_pa, uint64_t entry_el);

#endif
