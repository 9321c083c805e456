/*
 * The Pi 3's two controllers: BCM2836 ARM-local (QA7), one source register a core, and behind its bit 8 the
 * BCM2835 ARMCTRL (BCM2835 ARM Peripherals 7.5), which GPU interrupt routing sends to core 0.
 *
 * Lines 0 to 31 are local sources of the calling core, 64 to 127 the ARMCTRL's lines 0 to 63. Nothing needs
 * ending: both are level-sensitive.
 */
#include "drivers/intc.h"

#include "arch/arm64/cpu.h"
#include "board.h"
#include "drivers/mmio.h"

#define LOCAL_GPU_ROUTING   (LOCAL_VA + 0x0cu)
#define LOCAL_TIMER_CONTROL (LOCAL_VA + 0x40u) /* + 4 * core; bits 0 to 3: the generic timer's interrupts */
#define LOCAL_IRQ_SOURCE    (LOCAL_VA + 0x60u) /* + 4 * core */

#define ARMCTRL           (ARMCTRL_VA + 0x200u)
#define PENDING_1         (ARMCTRL + 0x04u)
#define PENDING_2         (ARMCTRL + 0x08u)
#define FIQ_CONTROL       (ARMCTRL + 0x0cu)
#define ENABLE_1          (ARMCTRL + 0x10u)
#define DISABLE_1         (ARMCTRL + 0x1cu)
#define DISABLE_2         (ARMCTRL + 0x20u)
#define DISABLE_BASIC     (ARMCTRL + 0x24u)
#define SOURCE_TIMERS     0x00fu
#define SOURCE_GPU        0x100u
#define ARMCTRL_LINES     64u
#define ARMCTRL_LINES_END 128u

void intc_init(void)
{
    mmio_write(LOCAL_GPU_ROUTING, 0); /* IRQ and FIQ of the ARMCTRL go to core 0 */
    mmio_write(FIQ_CONTROL, 0);
    mmio_write(DISABLE_1, UINT32_MAX);
    mmio_write(DISABLE_2, UINT32_MAX);
    mmio_write(DISABLE_BASIC, 0xffu);
}

void intc_init_core(void)
{
    mmio_write(LOCAL_TIMER_CONTROL + 4ull * this_cpu()->core, 0);
}

static void set_timer_line(uint32_t line, uint32_t on)
{
    uintptr_t control = LOCAL_TIMER_CONTROL + 4ull * this_cpu()->core;
    uint32_t bit = 1u << line;
    mmio_write(control, on != 0 ? mmio_read(control) | bit : mmio_read(control) & ~bit);
}

void intc_enable(uint32_t line)
{
    if (line < 4u) {
        set_timer_line(line, 1);
    } else if (line >= ARMCTRL_LINES && line < ARMCTRL_LINES_END) {
        uint32_t gpu = line - ARMCTRL_LINES;
        mmio_write(ENABLE_1 + (gpu / 32u) * 4u, 1u << (gpu % 32u));
    }
}

void intc_disable(uint32_t line)
{
    if (line < 4u) {
        set_timer_line(line, 0);
    } else if (line >= ARMCTRL_LINES && line < ARMCTRL_LINES_END) {
        uint32_t gpu = line - ARMCTRL_LINES;
        mmio_write(DISABLE_1 + (gpu / 32u) * 4u, 1u << (gpu % 32u));
    }
}

uint32_t intc_acknowledge(void)
{
    uint32_t source = mmio_read(LOCAL_IRQ_SOURCE + 4ull * this_cpu()->core);
    if ((source & SOURCE_TIMERS) != 0)
        return (uint32_t)__builtin_ctz(source & SOURCE_TIMERS);
    if ((source & SOURCE_GPU) != 0) {
        uint32_t pending = mmio_read(PENDING_2);
        if (pending != 0)
            return ARMCTRL_LINES + 32u + (uint32_t)__builtin_ctz(pending);
        pending = mmio_read(PENDING_1);
        if (pending != 0)
            return ARMCTRL_LINES + (uint32_t)__builtin_ctz(pending);
    }
    return INTC_NONE;
}

void intc_end(uint32_t line)
{
    (void)line;
}
