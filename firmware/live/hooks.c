/* Dispatch of an event to the extensions of its hook. */
#include "live/hooks.h"

#include "live/config.h"
#include "live/invoke.h"
#include "live/watch.h"
#include "traffic/telemetry.h"

/* Calls one extension; false when the call was contained. */
static inline bool call(struct extension *extension, void *context, struct hook_calls *calls, uint64_t *value)
{
    struct invocation *invocation = invoke_here();
    *value = invoke(invocation, extension, &extension->bindings[EXTENSION_LIVE], context, 0, NET_PASS);
    calls->calls++;
    if (__builtin_expect(invocation->cause != INVOKE_CLEAN, 0)) {
        invoke_report(invocation);
        calls->contained++;
        return false;
    }
    watch_clean_call(extension);
    return true;
}

uint32_t hooks_net_rx(struct bpf_xdp_ctx *context, struct hook_calls *calls)
{
    const struct chain *chain = &config_active()->hooks[BPF_HOOK_NET_RX];
    for (uint32_t i = 0; i < chain->count; i++) {
        uint64_t value;
        if (!call(chain->extensions[i], context, calls, &value))
            return NET_PASS;
        if ((uint32_t)value != NET_PASS)
            return (uint32_t)value <= NET_TX ? (uint32_t)value : NET_ABORTED;
    }
    return NET_PASS;
}

void hooks_timer(struct bpf_timer_ctx *context, struct hook_calls *calls)
{
    const struct chain *chain = &config_active()->hooks[BPF_HOOK_TIMER];
    for (uint32_t i = 0; i < chain->count; i++) {
        uint64_t value;
        if (!call(chain->extensions[i], context, calls, &value))
            return;
    }
}
