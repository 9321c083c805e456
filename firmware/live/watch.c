/* The watch window. What the hooks touch at each call is in `watch`, the rest here. */
#include "live/watch.h"

#include <string.h>

struct watch watch;
static struct {
    uint32_t size; /* of the window */
    bool passed;   /* and not yet reported */
    uint32_t generation;
} window;

void watch_init(void)
{
    memset(&watch, 0, sizeof(watch));
    memset(&window, 0, sizeof(window));
}

void watch_open(const struct extension *extension, uint32_t invocations, uint32_t generation)
{
    watch.extension = invocations == 0 ? NULL : extension;
    watch.remaining = invocations;
    window.size = invocations;
    window.passed = invocations == 0;
    window.generation = generation;
}

uint32_t watch_remaining(void)
{
    return watch.extension == NULL ? 0 : watch.remaining;
}

void watch_close(const struct extension *extension)
{
    if (extension == NULL || watch.extension == extension) {
        watch.extension = NULL;
        window.passed = false;
    }
}

void watch_pass(void)
{
    watch.extension = NULL;
    window.passed = true;
}

bool watch_take_commit(struct assay_commit_event *event)
{
    if (!window.passed)
        return false;
    window.passed = false;
    event->generation = window.generation;
    event->invocations = window.size;
    return true;
}
