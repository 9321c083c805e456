/* Dispatch of an event to the extensions of its hook. */
#include "live/hooks.h"

#include "live/config.h"
#include "live/invoke.h"
#include "live/watch.h"

/* Calls one extension; false when the call was contained. */
static inline bool call(struct extension *extension, void *context, struct hook_calls *calls, uint32_t pass,
                        uint64_t *value)
{
    struct invocation *invocation = invoke_here();
    *value = invoke(invocation, extension, &extension->bindings[EXTENSION_LIVE], context, 0, pass);
    calls->calls++;
    if (__builtin_expect(invocation->cause != INVOKE_CLEAN, 0)) {
        invoke_report(invocation);
        calls->contained++;
        return false;
    }
    watch_clean_call(extension);
    return true;
}

static inline uint32_t run(enum bpf_hook hook, void *context, struct hook_calls *calls,
                           enum bpf_priority_class priority_class, uint32_t verdicts, uint32_t pass)
{
    const struct chain *chain = &config_active()->hooks[hook];
    for (uint32_t i = 0; i < chain->count; i++) {
        uint64_t value;
        if (!call(chain->extensions[i], context, calls, pass, &value))
            return pass;
        if (priority_class == BPF_PRIORITY_FIRST_VERDICT && (uint32_t)value != pass)
            return (uint32_t)value < verdicts ? (uint32_t)value : 0;
    }
    return pass;
}

#define DISPATCH(name, hook, context_type, priority_class, verdicts, pass)                                   \
    uint32_t hooks_##name(context_type *context, struct hook_calls *calls)                                   \
    {                                                                                                        \
        return run(hook, context, calls, priority_class, verdicts, pass);                                    \
    }
BPF_DEPLOYABLE_HOOKS(DISPATCH)
