/* Events wait in a ring of bytes: size, number, payload, each entry whole. See events.h and channel.h. */
#include "channel/events.h"

#include <string.h>

#include "arch/arm64/cpu.h"
#include "channel/channel.h"

#define QUEUE_SIZE 8192u /* bytes; a power of two */

struct entry {
    uint16_t size; /* of the payload */
    uint16_t event;
};

static struct {
    uint8_t bytes[QUEUE_SIZE];
    uint32_t head; /* free-running; next byte to write */
    uint32_t tail; /* next byte to read */
    uint32_t dropped;
    uint32_t sequence;
} queue;

static void queue_put(const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++)
        queue.bytes[queue.head++ % QUEUE_SIZE] = bytes[i];
}

static void queue_get(void *data, size_t size)
{
    uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++)
        bytes[i] = queue.bytes[queue.tail++ % QUEUE_SIZE];
}

bool channel_event(uint16_t event, const void *record, size_t record_size, const void *tail, size_t tail_size)
{
    bool fits = record_size <= ASSAY_MAX_PAYLOAD && tail_size <= ASSAY_MAX_PAYLOAD - record_size;
    uint64_t daif = irq_save();
    fits = fits && sizeof(struct entry) + record_size + tail_size <= QUEUE_SIZE - (queue.head - queue.tail);
    if (fits) {
        struct entry entry = {.size = (uint16_t)(record_size + tail_size), .event = event};
        queue_put(&entry, sizeof(entry));
        queue_put(record, record_size);
        queue_put(tail, tail_size);
    } else {
        queue.dropped++;
    }
    irq_restore(daif);
    return fits;
}

bool channel_log(enum channel_log_level level, const char *text, size_t length)
{
    struct assay_log_event event = {.level = (uint32_t)level};
    return channel_event(ASSAY_EVENT_LOG, &event, sizeof(event), text, length);
}

size_t events_encode_now(uint16_t event, const struct frame_part *parts, size_t part_count, uint8_t *out,
                         size_t out_size)
{
    struct assay_frame_header header = {
        .kind = ASSAY_FRAME_EVENT, .message = event, .sequence = ++queue.sequence};
    return frame_encode(&header, parts, part_count, out, out_size);
}

size_t events_take(uint8_t *out, size_t out_size)
{
    static uint8_t payload[ASSAY_MAX_PAYLOAD];
    struct entry entry;
    uint64_t daif = irq_save();
    bool any = queue.head != queue.tail;
    if (any) {
        queue_get(&entry, sizeof(entry));
        queue_get(payload, entry.size);
    }
    irq_restore(daif);
    if (!any)
        return 0;
    struct frame_part part = {payload, entry.size};
    return events_encode_now(entry.event, &part, 1, out, out_size);
}

uint32_t events_dropped(void)
{
    return queue.dropped;
}
