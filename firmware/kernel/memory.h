/*
 * Memory: static pools at fixed virtual addresses (memlayout.h), the writable alias of JIT pages, and publishing
 * code. No allocator here: each pool has one owner, who divides it.
 */
#ifndef ASSAY_KERNEL_MEMORY_H
#define ASSAY_KERNEL_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/arm64/memlayout.h"

struct memory_region {
    const char *name;
    uintptr_t va;
    size_t size;
};

/* Pools: zero after boot, 2 MiB aligned, RW and never executable (JIT: RX). */
static inline uint8_t *blob_pool(void)
{
    return (uint8_t *)BLOB_POOL_VA;
}
static inline uint8_t *map_pool(void)
{
    return (uint8_t *)MAP_POOL_VA;
}
static inline uint8_t *arena_pool(void)
{
    return (uint8_t *)ARENA_VA;
}
static inline uint8_t *trace_pool(void)
{
    return (uint8_t *)TRACE_POOL_VA;
}

/* All regions with their sizes, ended by a null name; for telemetry and fault reports. */
extern const struct memory_region memory_regions[];

/* The region that holds `va`, or a null pointer: for fault reports. */
const struct memory_region *memory_region_of(uintptr_t va);

/* True when [va, va + len) is inside the JIT region. */
bool memory_is_jit(uintptr_t va, size_t len);

/*
 * Maps the pages of [code_va, code_va + len), which must be in the JIT region, writable and non-executable at an
 * alias, and returns the alias of code_va (same offset in the page). Null when the range is not in the region.
 * The executable mapping stays: do not run code that is being rewritten. Call with the alias of no other core.
 */
void *vm_map_rw_alias(uintptr_t code_va, size_t len);

/* Unmaps the alias of the same range and invalidates its TLB entries on every core. Before vm_publish_code. */
void vm_unmap_alias(uintptr_t code_va, size_t len);

/* True while any alias page is mapped (tests and assertions). */
bool vm_alias_mapped(void);

/*
 * Makes code written through the alias visible to instruction fetch at its executable address, on every core of
 * the inner shareable domain; ends with an ISB on this core (other cores need their own before they run it).
 */
void vm_publish_code(uintptr_t code_va, size_t len);

/* Copies `len` bytes of code to code_va in one go: alias, copy, unmap, publish. False: range not in the region. */
bool vm_write_code(uintptr_t code_va, const void *code, size_t len);

/* Reads PTE permissions of a kernel page by AT S1E1R / S1E1W: for tests and fault reports. */
bool vm_readable(uintptr_t va);
bool vm_writable(uintptr_t va);

#endif
