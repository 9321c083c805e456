/* 32-bit device registers. Ordering between devices and memory is the caller's (dsb). */
#ifndef ASSAY_DRIVERS_MMIO_H
#define ASSAY_DRIVERS_MMIO_H

#include <stdint.h>

static inline uint32_t mmio_read(uintptr_t va)
{
    return *(const volatile uint32_t *)va;
}

static inline void mmio_write(uintptr_t va, uint32_t value)
{
    *(volatile uint32_t *)va = value;
}

#endif
