/* The watch window of the latest deploy: the clean calls after which the deployed extension is committed. */
#ifndef ASSAY_LIVE_WATCH_H
#define ASSAY_LIVE_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assay_messages.h"
#include "live/extension.h"

/* What the hooks count down: the watched extension (null: no window is open) and its clean calls to come. */
struct watch {
    const struct extension *extension;
    uint32_t remaining;
};
extern struct watch watch;

/* No window, and nothing to tell. */
void watch_init(void);

/* Opens a window of so many calls for what was deployed as `generation`; of 0 calls: it has passed. */
void watch_open(const struct extension *extension, uint32_t invocations, uint32_t generation);

/* Clean calls to come; 0 when no window is open. */
uint32_t watch_remaining(void);

/* Ends the window if `extension` (null: whatever it is) is watched. */
void watch_close(const struct extension *extension);

/* Ends the window of the watched extension as passed. */
void watch_pass(void);

/* Counts one clean call of a deployed extension. */
static inline void watch_clean_call(const struct extension *extension)
{
    if (watch.extension == extension && --watch.remaining == 0)
        watch_pass();
}

/* True once after a window has passed; *event says which. */
bool watch_take_commit(struct assay_commit_event *event);

#endif
