/* The channel's turn in the main loop: bytes in, one request at a time, its response and the events out. */
#include "channel/channel.h"

#include "channel/channel_internal.h"
#include "channel/dispatch.h"
#include "channel/events.h"
#include "channel/frames.h"
#include "channel/plant.h"
#include "channel/session.h"

#define CHUNK 256u /* bytes taken from the ring at a time */

static struct frame_decoder decoder;
static uint8_t chunk[CHUNK];
static size_t chunk_size;
static size_t chunk_used;
static uint8_t event_wire[FRAME_WIRE_MAX];
static uint32_t frames_sent;
static void (*after_reply)(void);

static void send(const uint8_t *wire, size_t size)
{
    if (uart_write(wire, size) == size)
        frames_sent++;
}

static void send_events(void)
{
    /* Bounded by what the queue can hold; events that interrupts add meanwhile wait for the next turn. */
    for (uint32_t i = 0; i < ASSAY_MAX_PAYLOAD; i++) {
        size_t size = events_take(event_wire, sizeof(event_wire));
        if (size == 0)
            return;
        send(event_wire, size);
    }
}

void channel_init(void)
{
    static const char ready[] = "ready";
    PLANT_SILENCE();
    frame_decoder_init(&decoder);
    session_init();
    channel_log(LOG_INFO, ready, sizeof(ready) - 1);
    send_events();
}

bool channel_poll(void)
{
    if (chunk_used == chunk_size) {
        chunk_used = 0;
        chunk_size = uart_read(chunk, sizeof(chunk));
    }
    struct frame frame;
    bool ready;
    chunk_used += frame_decoder_push(&decoder, chunk + chunk_used, chunk_size - chunk_used, &frame, &ready);
    if (ready) {
        size_t size = 0;
        const uint8_t *wire = dispatch(&frame, &size);
        if (wire != NULL)
            send(wire, size);
    }
    send_events();
    if (after_reply != NULL) {
        void (*action)(void) = after_reply;
        after_reply = NULL;
        action();
    }
    return chunk_used < chunk_size || uart_rx_available() > 0;
}

void channel_after_reply(void (*action)(void))
{
    after_reply = action;
}

void channel_frame_status(struct assay_status_response *status)
{
    const struct uart_stats *uart = uart_stats();
    status->frames_received = decoder.stats.received;
    status->frames_sent = frames_sent;
    status->crc_errors = decoder.stats.crc_errors;
    status->malformed = decoder.stats.malformed + dispatch_strangers();
    status->oversized = decoder.stats.oversized;
    status->duplicates = dispatch_duplicates();
    status->overruns = uart->overruns + uart->ring_drops;
    status->events_dropped = events_dropped();
}
