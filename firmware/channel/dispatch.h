/* From a good frame to its response: duplicates, authentication, length, handler. */
#ifndef ASSAY_CHANNEL_DISPATCH_H
#define ASSAY_CHANNEL_DISPATCH_H

#include <stddef.h>
#include <stdint.h>

#include "channel/frames.h"

/*
 * Acts on one frame and returns the response's bytes on the wire (*size of them), valid until the next call; null
 * when the frame gets none (it is no request). A request that was answered lately is answered again out of the
 * cache, without being executed again.
 */
const uint8_t *dispatch(const struct frame *frame, size_t *size);

/* Requests that were answered out of the cache. */
uint32_t dispatch_duplicates(void);

/* Frames that were no requests. */
uint32_t dispatch_strangers(void);

/* Sequence of the request being handled. Handlers only. */
uint32_t dispatch_sequence(void);

#endif
