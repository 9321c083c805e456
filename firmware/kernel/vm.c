/* Regions, the writable alias of JIT pages, and making code visible to instruction fetch. */
#include "kernel/memory.h"

#include <string.h>

#include "arch/arm64/boot_map.h"
#include "arch/arm64/cpu.h"
#include "arch/arm64/sysreg.h"

const struct memory_region memory_regions[] = {
    {"image", IMAGE_VA, IMAGE_SIZE},
    {"jit", JIT_VA, JIT_SIZE},
    {"jit alias", JIT_ALIAS_VA, JIT_SIZE},
    {"stacks", STACKS_VA, STACKS_SIZE},
    {"blob pool", BLOB_POOL_VA, BLOB_POOL_SIZE},
    {"map pool", MAP_POOL_VA, MAP_POOL_SIZE},
    {"arena", ARENA_VA, ARENA_SIZE},
    {"trace pool", TRACE_POOL_VA, TRACE_POOL_SIZE},
    {"devices", DEVICES_VA, BLOCK_SIZE},
    {NULL, 0, 0},
};

/* Not inlined, so that a test can find their instruction sequences in the image. */
#define APART __attribute__((noinline))

static uint32_t alias_pages;

const struct memory_region *memory_region_of(uintptr_t va)
{
    for (const struct memory_region *region = memory_regions; region->name != NULL; region++) {
        if (va - region->va < region->size)
            return region;
    }
    return NULL;
}

bool memory_is_jit(uintptr_t va, size_t len)
{
    return va >= JIT_VA && len <= JIT_SIZE && va - JIT_VA <= JIT_SIZE - len;
}

static uint64_t pools_pa(void)
{
    return (boot_image_pa + IMAGE_SIZE + BLOCK_SIZE - 1u) & ~(BLOCK_SIZE - 1u);
}

/* First and last page number of a range of the JIT region; the caller has checked the range and len > 0. */
static uint64_t first_page(uintptr_t va)
{
    return (va - JIT_VA) / PAGE_SIZE;
}

static uint64_t last_page(uintptr_t va, size_t len)
{
    return (va + len - 1u - JIT_VA) / PAGE_SIZE;
}

APART void *vm_map_rw_alias(uintptr_t code_va, size_t len)
{
    if (len == 0 || !memory_is_jit(code_va, len))
        return NULL;
    for (uint64_t page = first_page(code_va); page <= last_page(code_va, len); page++) {
        alias_pages += boot_table_l3_alias[page] == 0;
        boot_table_l3_alias[page] = (pools_pa() + JIT_OFFSET + page * PAGE_SIZE) | PTE_ATTR(MAIR_NORMAL) |
                                    PTE_INNER | PTE_AF | PTE_PXN | PTE_UXN | PTE_PAGE;
    }
    /* Invalid to valid needs no TLB maintenance (D8.14.1), but the walker must see the stores (D8.2.6). */
    __asm__ volatile("dsb ishst\n\tisb" : : : "memory");
    return (void *)(code_va - JIT_VA + JIT_ALIAS_VA);
}

APART void vm_unmap_alias(uintptr_t code_va, size_t len)
{
    if (len == 0 || !memory_is_jit(code_va, len))
        return;
    uint64_t first = first_page(code_va);
    uint64_t last = last_page(code_va, len);
    uint64_t page = first;

    do {
        alias_pages -= boot_table_l3_alias[page] != 0;
        boot_table_l3_alias[page] = 0;
    } while (page++ < last);

    /* D8.14.5: store the invalid descriptor, make it visible, invalidate, wait, synchronise the context. */
    __asm__ volatile("dsb ishst" : : : "memory");
    page = first;
    do {
        uint64_t operand = ((JIT_ALIAS_VA + page * PAGE_SIZE) >> 12) & 0xfffffffffffull;
        __asm__ volatile("tlbi vaae1is, %0" : : "r"(operand) : "memory");
    } while (page++ < last);
    __asm__ volatile("dsb ish\n\tisb" : : : "memory");
}

bool vm_alias_mapped(void)
{
    return alias_pages != 0;
}

/*
 * ARM DDI 0487 B2.4.4 and D7.5.9: for code written as data, clean to the point of unification what the data side
 * holds, then invalidate what instruction fetch holds, each step completed before the next.
 */
APART void vm_publish_code(uintptr_t code_va, size_t len)
{
    uintptr_t end = code_va + len;
    uint64_t ctr;
    __asm__("mrs %0, ctr_el0" : "=r"(ctr)); /* line sizes, D17.2.34: log2 of words */
    uintptr_t data_line = 4ull << ((ctr >> 16) & 0xfu);
    uintptr_t instruction_line = 4ull << (ctr & 0xfu);

    for (uintptr_t va = code_va & ~(data_line - 1u); va < end; va += data_line)
        __asm__ volatile("dc cvau, %0" : : "r"(va) : "memory"); /* C5.3.13: clean to PoU */
    __asm__ volatile("dsb ish" : : : "memory"); /* B2.3.12: the cleans are complete, on every core */
    for (uintptr_t va = code_va & ~(instruction_line - 1u); va < end; va += instruction_line)
        __asm__ volatile("ic ivau, %0" : : "r"(va) : "memory"); /* C5.3.23: by the address that is fetched */
    __asm__ volatile("dsb ish" : : : "memory"); /* B2.3.12: the invalidations are complete, on every core */
    __asm__ volatile("isb" : : : "memory"); /* B2.3.12: drop what this core has already fetched */
}

bool vm_write_code(uintptr_t code_va, const void *code, size_t len)
{
    void *alias = vm_map_rw_alias(code_va, len);
    if (alias == NULL)
        return false;
    memcpy(alias, code, len);
    vm_unmap_alias(code_va, len);
    vm_publish_code(code_va, len);
    return true;
}

/* PAR_EL1.F after an address translation by hand (D17.2.113); IRQs off so that no handler's AT intervenes. */
bool vm_readable(uintptr_t va)
{
    uint64_t daif = irq_save();
    uint64_t par;
    __asm__ volatile("at s1e1r, %1\n\tisb\n\tmrs %0, par_el1" : "=r"(par) : "r"(va) : "memory");
    irq_restore(daif);
    return (par & 1u) == 0;
}

bool vm_writable(uintptr_t va)
{
    uint64_t daif = irq_save();
    uint64_t par;
    __asm__ volatile("at s1e1w, %1\n\tisb\n\tmrs %0, par_el1" : "=r"(par) : "r"(va) : "memory");
    irq_restore(daif);
    return (par & 1u) == 0;
}
