/* The event queue: filled by any code on the boot core, emptied between commands. */
#ifndef ASSAY_CHANNEL_EVENTS_H
#define ASSAY_CHANNEL_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "channel/frames.h"

/* Takes the oldest event: writes its frame into `out` (FRAME_WIRE_MAX bytes), returns its size; 0 when none. */
size_t events_take(uint8_t *out, size_t out_size);

/* Events dropped because the queue was full or they were too large. */
uint32_t events_dropped(void);

/* Encodes one event at once, past the queue: for a dying kernel. */
size_t events_encode_now(uint16_t event, const struct frame_part *parts, size_t part_count, uint8_t *out,
                         size_t out_size);

#endif
