/* PL011 (ARM DDI 0183): FIFOs on, receive by interrupt into a ring, transmit by bounded polling. */
#include "drivers/uart.h"

#include "arch/arm64/cpu.h"
#include "board.h"
#include "drivers/mmio.h"

#define DR   (UART_VA + 0x00u)
#define FR   (UART_VA + 0x18u)
#define IBRD (UART_VA + 0x24u)
#define FBRD (UART_VA + 0x28u)
#define LCRH (UART_VA + 0x2cu)
#define CR   (UART_VA + 0x30u)
#define IFLS (UART_VA + 0x34u)
#define IMSC (UART_VA + 0x38u)
#define MIS  (UART_VA + 0x40u)
#define ICR  (UART_VA + 0x44u)

#define DR_FE 0x100u
#define DR_PE 0x200u
#define DR_BE 0x400u
#define DR_OE 0x800u

#define FR_BUSY 0x08u
#define FR_RXFE 0x10u
#define FR_TXFF 0x20u
#define FR_TXFE 0x80u

#define TX_FIFO_DEPTH 16u /* 32 from revision r1p5 on */

#define LCRH_FEN_8BIT 0x70u
#define CR_ON         0x301u /* UARTEN, TXE, RXE */

#define INT_RX     0x010u
#define INT_RT     0x040u
#define INT_ERRORS 0x780u /* FE, PE, BE, OE */

/* RX at 1/4, TX at 1/8: of 16 bytes, 12 may still come while we are on our way. */
#define IFLS_RX_QUARTER 0x08u

#ifndef UART_BAUD
#define UART_BAUD 921600u
#endif

/* Divisor in 64ths, rounded: baud = clock / (16 * divisor), DDI 0183 3.3.6. */
#define DIVISOR ((UART_CLOCK_HZ * 4u + UART_BAUD / 2u) / UART_BAUD)
_Static_assert(DIVISOR >= 64u, "UART_BAUD is above UART_CLOCK_HZ / 16");

/* A byte takes 12 us at 921600 baud; this many register reads take longer than 10 ms on any board. */
#define TX_POLLS_MAX 2000000u

static uint8_t ring[UART_RING_SIZE];
static uint32_t ring_head; /* written by the interrupt handler only */
static uint32_t ring_tail; /* written by the consumer only */
static struct uart_stats stats;

_Static_assert((UART_RING_SIZE & (UART_RING_SIZE - 1u)) == 0, "ring indices wrap by masking");

void uart_init(void)
{
    for (uint32_t i = 0; i < TX_POLLS_MAX && (mmio_read(FR) & FR_BUSY) != 0; i++) {
    }
    mmio_write(CR, 0);
    mmio_write(LCRH, 0); /* FEN 0 flushes the FIFOs */
    mmio_write(IMSC, 0);
    mmio_write(ICR, 0x7ff);
    mmio_write(IBRD, DIVISOR / 64u);
    mmio_write(FBRD, DIVISOR % 64u);
    mmio_write(LCRH, LCRH_FEN_8BIT); /* latches the divisor too */
    mmio_write(IFLS, IFLS_RX_QUARTER);
    mmio_write(CR, CR_ON);
    (void)mmio_read(DR); /* QEMU looks for more input after a read only, not after a flush of a full FIFO */
    mmio_write(IMSC, INT_RX | INT_RT | INT_ERRORS);
}

static void count_errors(uint32_t data)
{
    stats.overruns += (data & DR_OE) != 0;
    stats.breaks += (data & DR_BE) != 0;
    stats.parity += (data & DR_PE) != 0;
    stats.framing += (data & DR_FE) != 0;
}

/*
 * A byte with a framing or parity error is still handed on (the frame's CRC judges it); a break is not a byte.
 * Bounded by one ring's worth: the interrupt is level-sensitive and comes back for the rest.
 */
void uart_interrupt(void)
{
    uint32_t pending = mmio_read(MIS);
    stats.rx_interrupts++;
    /* RX too: a flush may leave it pending over an empty FIFO, and no read would ever clear it. */
    mmio_write(ICR, pending & (INT_RX | INT_RT | INT_ERRORS));
    for (uint32_t i = 0; i < UART_RING_SIZE && (mmio_read(FR) & FR_RXFE) == 0; i++) {
        uint32_t data = mmio_read(DR);
        if ((data & (DR_OE | DR_BE | DR_PE | DR_FE)) != 0) {
            count_errors(data);
            if ((data & DR_BE) != 0)
                continue;
        }
        if (ring_head - __atomic_load_n(&ring_tail, __ATOMIC_ACQUIRE) == UART_RING_SIZE) {
            stats.ring_drops++;
            continue;
        }
        ring[ring_head & (UART_RING_SIZE - 1u)] = (uint8_t)data;
        __atomic_store_n(&ring_head, ring_head + 1u, __ATOMIC_RELEASE);
        stats.rx_bytes++;
    }
}

size_t uart_rx_available(void)
{
    return __atomic_load_n(&ring_head, __ATOMIC_ACQUIRE) - __atomic_load_n(&ring_tail, __ATOMIC_RELAXED);
}

size_t uart_read(uint8_t *buf, size_t size)
{
    size_t available = uart_rx_available();
    size_t count = available < size ? available : size;
    uint32_t tail = ring_tail;
    for (size_t i = 0; i < count; i++)
        buf[i] = ring[(tail + i) & (UART_RING_SIZE - 1u)];
    __atomic_store_n(&ring_tail, tail + (uint32_t)count, __ATOMIC_RELEASE);
    return count;
}

/* How many bytes may be written without looking again; waits, bounded, until that is one at least. */
static size_t tx_room(void)
{
    for (uint32_t polls = 0; polls < TX_POLLS_MAX; polls++) {
        uint32_t flags = mmio_read(FR);
        if ((flags & FR_TXFE) != 0)
            return TX_FIFO_DEPTH;
        if ((flags & FR_TXFF) == 0)
            return 1;
    }
    return 0;
}

size_t uart_write(const uint8_t *buf, size_t len)
{
    size_t sent = 0;
    while (sent < len) {
        size_t room = tx_room();
        if (room == 0) {
            stats.tx_drops += (uint32_t)(len - sent);
            break;
        }
        for (; room > 0 && sent < len; room--)
            mmio_write(DR, buf[sent++]);
    }
    stats.tx_bytes += sent;
    return sent;
}

int uart_poll_byte(void)
{
    if ((mmio_read(FR) & FR_RXFE) != 0)
        return -1;
    int byte = (int)(mmio_read(DR) & 0xffu);
    mmio_write(ICR, INT_RT | INT_ERRORS);
    return byte;
}

void uart_flush(void)
{
    for (uint32_t i = 0; i < TX_POLLS_MAX && (mmio_read(FR) & FR_BUSY) != 0; i++) {
    }
}

const struct uart_stats *uart_stats(void)
{
    return &stats;
}

void uart_stats_clear(void)
{
    uint64_t daif = irq_save();
    stats = (struct uart_stats){0};
    irq_restore(daif);
}
