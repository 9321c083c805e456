/* Faults on request, to test the fault path. Testing kernels only: release kernels do not have the message. */
#ifdef ASSAY_TESTING

#include "channel/channel.h"
#include "channel/events.h"
#include "channel/plant.h"
#include "drivers/uart.h"

#define NOWHERE 0xffff8000dead0000ull /* in the kernel's half, in no region of memlayout.h */

/* Goes down the stack until the guard page ends it. The volatile array keeps every frame, and the calls, real. */
static __attribute__((noinline)) uint32_t fall(uint32_t depth)
{
    volatile uint8_t weight[512];
    weight[depth % sizeof(weight)] = (uint8_t)depth;
    if (depth == UINT32_MAX)
        return 0;
    return fall(depth + 1) + weight[depth % sizeof(weight)];
}

static size_t a_frame(uint8_t *wire, size_t size)
{
    struct assay_log_event event = {.level = LOG_INFO};
    static const char text[] = "there is no end to this";
    struct frame_part parts[] = {{&event, sizeof(event)}, {text, sizeof(text) - 1}};
    return events_encode_now(ASSAY_EVENT_LOG, parts, 2, wire, size);
}

/* Endless bytes: noise that sometimes looks like the end of a frame, or only valid frames. */
static _Noreturn void flood(bool with_frames)
{
    static uint8_t wire[FRAME_WIRE_MAX];
    for (uint32_t round = 0;; round++) {
        size_t size = sizeof(wire);
        if (with_frames) {
            size = a_frame(wire, sizeof(wire));
        } else {
            for (size_t i = 0; i < size; i++)
                wire[i] = (uint8_t)(i * 7u + round);
        }
        uart_write(wire, size);
    }
}

static _Noreturn void stop_in_mid_frame(void)
{
    static uint8_t wire[FRAME_WIRE_MAX];
    uart_write(wire, a_frame(wire, sizeof(wire)) / 2);
    stand_still();
}

uint16_t handle_PROVOKE(const uint8_t *request, size_t size, struct reply *reply)
{
    (void)size;
    const struct assay_provoke_request *want = (const void *)request;
    switch (want->what) {
    case ASSAY_PROVOKE_DATA_ABORT: *(volatile uint64_t *)NOWHERE = 1; break;
    case ASSAY_PROVOKE_UNDEFINED: __asm__ volatile("udf #0x5a"); break;
    case ASSAY_PROVOKE_STACK_OVERFLOW: {
        volatile uint32_t depth = 0;
        depth = fall(depth);
        break;
    }
    case ASSAY_PROVOKE_HANG: stand_still();
    case ASSAY_PROVOKE_PANIC: panic("provoked");
    case ASSAY_PROVOKE_FLOOD: flood(false);
    case ASSAY_PROVOKE_FLOOD_OF_FRAMES: flood(true);
    case ASSAY_PROVOKE_MID_FRAME: stop_in_mid_frame();
    default:
        return reply_refuse(reply, ASSAY_STATUS_BAD_ARGUMENT, "expected: a provocation 1 to 8, seen: %u",
                            want->what);
    }
    return reply_refuse(reply, ASSAY_STATUS_INTERNAL, "provocation %u did not hurt", want->what);
}

#endif
