/* From boot.S to the main loop: an idle board executes nothing. */
#include "board.h"
#include "drivers/intc.h"
#include "kernel/kernel.h"
#include "kernel/start.h"

__attribute__((weak)) void live_init(void) {}

__attribute__((weak)) void channel_init(void) {}

__attribute__((weak)) bool channel_poll(void)
{
    uint8_t dropped[64];
    return uart_read(dropped, sizeof(dropped)) != 0;
}

/* Zeroes a pool by DC ZVA (ARM DDI 0487 C5.3.20): silicon's RAM holds anything at power-on. */
static void clear_pool(uintptr_t va, size_t size)
{
    uint64_t dczid;
    __asm__("mrs %0, dczid_el0" : "=r"(dczid));
    if ((dczid & 0x10u) != 0) { /* DZP: prohibited */
        for (uintptr_t at = va; at < va + size; at += 8u)
            *(uint64_t *)at = 0;
        return;
    }
    uintptr_t block = 4ull << (dczid & 0xfu);

    for (uintptr_t at = va; at < va + size; at += block)
        __asm__ volatile("dc zva, %0" : : "r"(at) : "memory");
}

/*
 * Sleeps until an interrupt, unless one has come since `seen` was read: its work may not have been done yet. IRQs
 * are masked meanwhile, so one that comes after the last look is still pending and WFI returns at once.
 */
static void idle(uint64_t seen)
{
    irq_disable();
    if (this_cpu()->irqs == seen) {
        pmu_pause();
        wait_for_interrupt();
        pmu_resume();
    }
    irq_enable();
    __asm__ volatile("isb" : : : "memory"); /* the pending interrupt is taken here */
}

/* The boot core, on its kernel stack, high, .bss cleared, everything masked. */
_Noreturn void kernel_main(void)
{
    cpu_blocks_init();
    cpu_online();
    board_init();
    uart_init();
    intc_init();
    intc_init_core();
    timer_init();
    clear_pool(BLOB_POOL_VA, BLOB_POOL_SIZE);
    clear_pool(MAP_POOL_VA, MAP_POOL_SIZE);
    clear_pool(ARENA_VA, ARENA_SIZE);
    clear_pool(TRACE_POOL_VA, TRACE_POOL_SIZE);
    cpu_start_secondaries();
    pmu_init();
    intc_enable(IRQ_UART);
    __asm__ volatile("msr daifclr, #6" : : : "memory"); /* SError and IRQ; FIQ and debug stay masked */

    live_init();
    channel_init();
    for (;;) {
        uint64_t seen = this_cpu()->irqs;
        while (channel_poll()) {
        }
        idle(seen);
    }
}
