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

#define GICD_CTLR       (GICD_VA + 0x000u)
#define GICD_TYPER      (GICD_VA + 0x004u)
#define GICD_ISENABLER  (GICD_VA + 0x100u)
#define GICD_ICENABLER  (GICD_VA + 0x180u)
#define GICD_IPRIORITYR (GICD_VA + 0x400u)
#define GICD_ITARGETSR  (GICD_VA + 0x800u)
#define GICC_CTLR       (GICC_VA + 0x000u)
#define GICC_PMR        (GICC_VA + 0x004u)
#define GICC_BPR        (GICC_VA + 0x008u)
#define GICC_IAR        (GICC_VA + 0x00cu)
#define GICC_EOIR       (GICC_VA + 0x010u)

#define FIRST_SPI     32u
#define LINES_MAX     1020u
#define SPURIOUS      1020u /* 1020 to 1023 are not interrupts (3.2.5) */
#define PRIORITY      0xa0a0a0a0u
#define PRIORITY_MASK 0xf0u
#define ONLY_CORE_0   0x01010101u

void intc_init(void)
{
    uint32_t lines = ((mmio_read(GICD_TYPER) & 0x1fu) + 1u) * 32u;
    lines = lines < LINES_MAX ? lines : LINES_MAX;
    mmio_write(GICD_CTLR, 0);
    for (uint32_t line = FIRST_SPI; line < lines; line += 32u)
        mmio_write(GICD_ICENABLER + line / 8u, UINT32_MAX);
    for (uint32_t line = FIRST_SPI; line < lines; line += 4u) {
        mmio_write(GICD_IPRIORITYR + line, PRIORITY);
        mmio_write(GICD_ITARGETSR + line, ONLY_CORE_0);
    }
    mmio_write(GICD_CTLR, 1);
}

/* SGIs and PPIs are banked: each core masks its own. */
void intc_init_core(void)
{
    mmio_write(GICD_ICENABLER, UINT32_MAX);
    for (uint32_t line = 0; line < FIRST_SPI; line += 4u)
        mmio_write(GICD_IPRIORITYR + line, PRIORITY);
    mmio_write(GICC_PMR, PRIORITY_MASK);
    mmio_write(GICC_BPR, 0);
    mmio_write(GICC_CTLR, 1);
}

void intc_enable(uint32_t line)
{
    mmio_write(GICD_ISENABLER + (line / 32u) * 4u, 1u << (line % 32u));
}

void intc_disable(uint32_t line)
{
    mmio_write(GICD_ICENABLER + (line / 32u) * 4u, 1u << (line % 32u));
}

uint32_t intc_acknowledge(void)
{
    uint32_t iar = mmio_read(GICC_IAR);
    return (iar & 0x3ffu) >= SPURIOUS ? INTC_NONE : iar;
}

void intc_end(uint32_t line)
{
    __asm__ volatile("dsb sy" : : : "memory"); /* the device's line is down before the GIC looks again */
    mmio_write(GICC_EOIR, line);
}
