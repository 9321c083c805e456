/* Ways to die, for the tests of the fault path. Testing kernels only: release kernels do not know the message. */
#ifdef ASSAY_TESTING

#include "channel/channel.h"

#define NOWHERE 0xffff8000dead0000UL /* in the kernel's half, in no region of memlayout.h */

/* Goes down the stack until the guard page ends it. The volatile array keeps every frame, and the calls, real. */
static __attribute__((noinline)) uint32_t fall(uint32_t depth)
{
    volatile uint8_t weight[512];
    weight[depth % sizeof weight] = (uint8_t)depth;
    if (depth == UINT32_MAX)
        return 0;
    return fall(depth + 1) + weight[depth % sizeof weight];
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
    case ASSAY_PROVOKE_HANG:
        irq_disable();
        for (;;)
            __asm__ volatile("nop");
    default:
        return reply_refuse(reply, ASSAY_STATUS_BAD_ARGUMENT, "expected: a provocation 1 to 4, seen: %u",
                            want->what);
    }
    return reply_refuse(reply, ASSAY_STATUS_INTERNAL, "provocation %u did not hurt", want->what);
}

#endif
