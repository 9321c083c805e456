/* Power by PSCI (ARM DEN 0022): SYSTEM_OFF and SYSTEM_RESET, by the conduit that the boot EL implies. */
#include "drivers/power.h"

#include "arch/arm64/boot_map.h"
#include "arch/arm64/cpu.h"
#include "drivers/uart.h"

#define SYSTEM_OFF   0x84000008ull
#define SYSTEM_RESET 0x84000009ull

/* Entered at EL1: a hypervisor (or QEMU in its place) answers HVC. Entered at EL2: firmware answers SMC. */
static void call(uint64_t function)
{
    register uint64_t x0 __asm__("x0") = function;
    if (boot_entry_el == 1u)
        __asm__ volatile("hvc #0" : "+r"(x0) : : "x1", "x2", "x3", "memory");
    else if (boot_entry_el == 2u)
        __asm__ volatile("smc #0" : "+r"(x0) : : "x1", "x2", "x3", "memory");
}

static _Noreturn void park(void)
{
    irq_disable();
    for (;;)
        wait_for_interrupt();
}

_Noreturn void power_off(void)
{
    uart_flush();
    call(SYSTEM_OFF);
    park();
}

_Noreturn void power_reset(void)
{
    uart_flush();
    call(SYSTEM_RESET);
    park();
}
