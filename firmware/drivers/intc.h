/* The board's interrupt controller: GICv2 / GIC-400, or BCM2836 local + BCM2835 ARMCTRL. */
#ifndef ASSAY_DRIVERS_INTC_H
#define ASSAY_DRIVERS_INTC_H

#include <stdint.h>

/* Lines are named by the board (IRQ_UART, IRQ_TIMER in board.h); the numbers mean what its controller says. */
#define INTC_NONE UINT32_MAX

/* Boot core, once: everything masked. */
void intc_init(void);

/* Each core, once. */
void intc_init_core(void);

void intc_enable(uint32_t line);
void intc_disable(uint32_t line);

/* Interrupt context: the pending line of highest priority, or INTC_NONE. Acknowledges it. */
uint32_t intc_acknowledge(void);

/* Interrupt context: ends the interrupt that intc_acknowledge returned. */
void intc_end(uint32_t line);

#endif
