/* PL011: received bytes in a ring filled by interrupt, bounded polling transmit. */
#ifndef ASSAY_DRIVERS_UART_H
#define ASSAY_DRIVERS_UART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes; a power of two. Every frame the host has credit for fits: it may send them all while a command runs. */
#define UART_RING_SIZE 16384u

struct uart_stats {
    uint64_t rx_bytes;
    uint64_t tx_bytes;
    uint64_t rx_interrupts;
    uint32_t overruns;   /* hardware FIFO overflowed (OE) */
    uint32_t framing;    /* FE */
    uint32_t parity;     /* PE */
    uint32_t breaks;     /* BE */
    uint32_t ring_drops; /* bytes lost because the ring was full */
    uint32_t tx_drops;   /* bytes given up because the FIFO stayed full */
};

/* Called once from boot, before interrupts. 115200 8N1 unless the board says otherwise (boards/<name>/board.h). */
void uart_init(void);

/* Bytes waiting. Main loop or interrupt context. */
size_t uart_rx_available(void);

/* Takes up to `size` bytes out of the ring; returns how many. One consumer: the main loop. */
size_t uart_read(uint8_t *buf, size_t size);

/*
 * Sends `len` bytes, waiting for FIFO space a bounded time each; returns how many went out (fewer: the line is
 * dead, the rest is counted as tx_drops). Any context; interrupts may stay on.
 */
size_t uart_write(const uint8_t *buf, size_t len);

/* Polls one byte from the hardware, past the ring: for a dead kernel only. -1 when there is none. */
int uart_poll_byte(void);

/* Waits, bounded, until the last bit has left. Before power-off. */
void uart_flush(void);

/* The interrupt handler; traps.c calls it. */
void uart_interrupt(void);

const struct uart_stats *uart_stats(void);
void uart_stats_clear(void);

#endif
