/*
 * GICv2 and GIC-400 (ARM IHI 0048B), from Non-secure EL1 or from a GIC without Security Extensions.
 *
 * With Security Extensions, Non-secure GICD_CTLR bit 0 and GICC_CTLR bit 0 enable Group 1, which firmware (or
 * boot.S at EL3) put every interrupt in; without them they enable Group 0, where every interrupt is after reset.
 * So the same writes serve both, as long as priorities stay in the half that Non-secure code may use (4.8.6).
 */
#include "drivers/intc.h"

#include "board.h"
#include "drivers/mmio.h"

#define GICD_CTLR       (GICD_VA + 0x000U)
#define GICD_TYPER      (GICD_VA + 0x004U)
#define GICD_ISENABLER  (GICD_VA + 0x100U)
#define GICD_ICENABLER  (GICD_VA + 0x180U)
#define GICD_IPRIORITYR (GICD_VA + 0x400U)
#define GICD_ITARGETSR  (GICD_VA + 0x800U)
#define GICC_CTLR       (GICC_VA + 0x000U)
#define GICC_PMR        (GICC_VA + 0x004U)
#define GICC_BPR        (GICC_VA + 0x008U)
#define GICC_IAR        (GICC_VA + 0x00cU)
#define GICC_EOIR       (GICC_VA + 0x010U)

#define FIRST_SPI     32U
#define LINES_MAX     1020U
#define SPURIOUS      1020U /* 1020 to 1023 are not interrupts (3.2.5) */
#define PRIORITY      0xa0a0a0a0U
#define PRIORITY_MASK 0xf0U
#define ONLY_CORE_0   0x01010101U

void intc_init(void)
{
    uint32_t lines = ((mmio_read(GICD_TYPER) & 0x1fU) + 1U) * 32U;

    lines = lines < LINES_MAX ? lines : LINES_MAX;
    mmio_write(GICD_CTLR, 0);
    for (uint32_t line = FIRST_SPI; line < lines; line += 32U) {
        mmio_write(GICD_ICENABLER + line / 8U, UINT32_MAX);
    }
    for (uint32_t line = FIRST_SPI; line < lines; line += 4U) {
        mmio_write(GICD_IPRIORITYR + line, PRIORITY);
        mmio_write(GICD_ITARGETSR + line, ONLY_CORE_0);
    }
    mmio_write(GICD_CTLR, 1);
}

/* SGIs and PPIs are banked: each core masks its own. */
void intc_init_core(void)
{
    mmio_write(GICD_ICENABLER, UINT32_MAX);
    for (uint32_t line = 0; line < FIRST_SPI; line += 4U) {
        mmio_write(GICD_IPRIORITYR + line, PRIORITY);
    }
    mmio_write(GICC_PMR, PRIORITY_MASK);
    mmio_write(GICC_BPR, 0);
    mmio_write(GICC_CTLR, 1);
}

void intc_enable(uint32_t line)
{
    mmio_write(GICD_ISENABLER + (line / 32U) * 4U, 1U << (line % 32U));
}

void intc_disable(uint32_t line)
{
    mmio_write(GICD_ICENABLER + (line / 32U) * 4U, 1U << (line % 32U));
}

uint32_t intc_acknowledge(void)
{
    uint32_t iar = mmio_read(GICC_IAR);

    return (iar & 0x3ffU) >= SPURIOUS ? INTC_NONE : iar;
}

void intc_end(uint32_t line)
{
    __asm__ volatile("dsb sy" : : : "memory"); /* the device's line is down before the GIC looks again */
    mmio_write(GICC_EOIR, line);
}
