/* The JIT region, divided among extensions. */
#ifndef ASSAY_LIVE_CODE_H
#define ASSAY_LIVE_CODE_H

#include "live/pool.h"

/* Extents are whole pages: a page of code belongs to one extension. Written by vm_write_code (memory.h). */
extern struct pool code_pool;

void code_pool_init(void);

#endif
