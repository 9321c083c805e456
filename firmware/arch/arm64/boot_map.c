/*
 * Builds the translation tables, once, on the boot core.
 *
 * Runs at its physical address with MMU and caches off, before .bss is cleared: built with -mstrict-align (all
 * memory is Device memory now), no switch tables, nothing that holds an absolute address.
 */
#include <stdint.h>

#include "arch/arm64/boot_map.h"
#include "arch/arm64/memlayout.h"
#include "arch/arm64/sysreg.h"
#include "board.h"

#define ENTRIES     512u
#define PAGES(size) ((size) / PAGE_SIZE)

#define BOOT_DATA __attribute__((section(".bss.boot"), aligned(4096)))

/* Nothing here is read after boot but boot_table_l3_alias, which vm.c edits, and the two values below. */
BOOT_DATA uint64_t boot_table_l0_kernel[ENTRIES];
BOOT_DATA uint64_t boot_table_l0_identity[ENTRIES];
BOOT_DATA uint64_t boot_table_l3_alias[ENTRIES];
static BOOT_DATA uint64_t l1_kernel[ENTRIES];
static BOOT_DATA uint64_t l2_kernel[ENTRIES];
static BOOT_DATA uint64_t l3_image[ENTRIES];
static BOOT_DATA uint64_t l3_jit[ENTRIES];
static BOOT_DATA uint64_t l3_stacks[ENTRIES];
static BOOT_DATA uint64_t l3_devices[ENTRIES];
static BOOT_DATA uint64_t l1_identity[ENTRIES];
static BOOT_DATA uint64_t l2_identity[ENTRIES];

__attribute__((section(".bss.boot"))) uint64_t boot_image_pa;
__attribute__((section(".bss.boot"))) uint64_t boot_entry_el;

static const struct board_device devices[] = BOARD_DEVICES;

/* Boundaries that the linker script sets; only their addresses mean anything. */
extern const uint8_t kernel_text_start[], kernel_text_end[], kernel_rodata_end[], kernel_image_end[];

#define NORMAL (PTE_ATTR(MAIR_NORMAL) | PTE_INNER | PTE_AF)
#define RX     (NORMAL | PTE_RO | PTE_UXN)
#define RO     (NORMAL | PTE_RO | PTE_PXN | PTE_UXN)
#define RW     (NORMAL | PTE_PXN | PTE_UXN)

static uint64_t level_index(uint64_t va, uint32_t shift)
{
    return (va >> shift) & (ENTRIES - 1u);
}

static uint64_t table(const uint64_t *next)
{
    return (uint64_t)next | PTE_TABLE;
}

static void map_blocks(uint64_t va, uint64_t pa, uint64_t size)
{
    for (uint64_t done = 0; done < size; done += BLOCK_SIZE)
        l2_kernel[level_index(va + done, 21)] = (pa + done) | RW | PTE_BLOCK;
}

static void map_image(uint64_t pa)
{
    uint64_t text_pages = PAGES((uint64_t)(kernel_text_end - kernel_text_start));
    uint64_t rodata_pages = PAGES((uint64_t)(kernel_rodata_end - kernel_text_start));
    uint64_t pages = PAGES((uint64_t)(kernel_image_end - kernel_text_start) + PAGE_SIZE - 1);
    for (uint64_t page = 0; page < pages && page < ENTRIES; page++) {
        uint64_t attributes = page < text_pages ? RX : page < rodata_pages ? RO : RW;
        l3_image[page] = (pa + page * PAGE_SIZE) | attributes | PTE_PAGE;
    }
}

/* Pages [first, first + size) of core `core`'s part of the stack region; unmapped pages are guards. */
static void map_stack(uint64_t pools_pa, uint64_t core, uint64_t first, uint64_t size)
{
    uint64_t offset = core * STACK_STRIDE + first;
    for (uint64_t page = 0; page < PAGES(size); page++) {
        uint64_t pa = pools_pa + STACKS_OFFSET + offset + page * PAGE_SIZE;
        l3_stacks[PAGES(offset) + page] = pa | RW | PTE_PAGE;
    }
}

static void map_devices(void)
{
    for (uint32_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
        const struct board_device *device = &devices[i];
        uint64_t attribute = device->is_memory ? PTE_ATTR(MAIR_NOCACHE) | PTE_INNER : PTE_ATTR(MAIR_DEVICE);
        for (uint64_t page = 0; page < PAGES(device->size); page++) {
            l3_devices[level_index(device->va, 12) + page] =
                (device->pa + page * PAGE_SIZE) | attribute | PTE_AF | PTE_PXN | PTE_UXN | PTE_PAGE;
        }
    }
}

/*
 * Fills the kernel's tables (TTBR1) and the identity map (TTBR0) that carries the jump. `image_pa` is where the
 * image was loaded, 4 KiB aligned. The caller has zeroed .bss.boot and invalidates it afterwards.
 */
void boot_map(uint64_t image_pa, uint64_t entry_el)
{
    uint64_t pools_pa = (image_pa + IMAGE_SIZE + BLOCK_SIZE - 1) & ~(BLOCK_SIZE - 1);
    boot_image_pa = image_pa;
    boot_entry_el = entry_el;

    boot_table_l0_kernel[level_index(KERNEL_VA, 39)] = table(l1_kernel);
    l1_kernel[level_index(KERNEL_VA, 30)] = table(l2_kernel);
    l2_kernel[level_index(IMAGE_VA, 21)] = table(l3_image);
    l2_kernel[level_index(JIT_VA, 21)] = table(l3_jit);
    l2_kernel[level_index(JIT_ALIAS_VA, 21)] = table(boot_table_l3_alias);
    l2_kernel[level_index(STACKS_VA, 21)] = table(l3_stacks);
    l2_kernel[level_index(DEVICES_VA, 21)] = table(l3_devices);

    map_image(image_pa);
    for (uint64_t page = 0; page < PAGES(JIT_SIZE); page++)
        l3_jit[page] = (pools_pa + JIT_OFFSET + page * PAGE_SIZE) | RX | PTE_PAGE;
    for (uint64_t core = 0; core < CPU_MAX; core++) {
        map_stack(pools_pa, core, KERNEL_STACK_BASE, KERNEL_STACK_SIZE);
        map_stack(pools_pa, core, EXCEPTION_STACK_BASE, EXCEPTION_STACK_SIZE);
        map_stack(pools_pa, core, EMERGENCY_STACK_BASE, EMERGENCY_STACK_SIZE);
    }
    map_blocks(BLOB_POOL_VA, pools_pa + BLOB_OFFSET, BLOB_POOL_SIZE);
    map_blocks(MAP_POOL_VA, pools_pa + MAP_OFFSET, MAP_POOL_SIZE);
    map_blocks(ARENA_VA, pools_pa + ARENA_OFFSET, ARENA_SIZE);
    map_blocks(TRACE_POOL_VA, pools_pa + TRACE_OFFSET, TRACE_POOL_SIZE);
    map_devices();

    /* The image's own 2 MiB block, read-only and executable: WXN would take execution from a writable one. */
    boot_table_l0_identity[level_index(image_pa, 39)] = table(l1_identity);
    l1_identity[level_index(image_pa, 30)] = table(l2_identity);
    l2_identity[level_index(image_pa, 21)] = (image_pa & ~(BLOCK_SIZE - 1)) | RX | PTE_BLOCK;
}
