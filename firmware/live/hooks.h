/*
 * Where extensions run. A hook takes the active configuration once, by load-acquire, and runs its chain in order of
 * priority (lowest number first). Its row in contracts/ebpf/hooks.py says how far:
 *
 *   FIRST_VERDICT  the first verdict other than the hook's pass ends the chain and is the event's; all pass: pass. A
 *                  number that is no verdict counts as verdict 0 (net_rx: XDP_ABORTED, as in Linux).
 *   ALL            every extension runs; results are ignored.
 *
 * A contained call ends the chain, and the event passes: an extension is an addition, so without it the kernel behaves
 * as if it had never been loaded.
 */
#ifndef ASSAY_LIVE_HOOKS_H
#define ASSAY_LIVE_HOOKS_H

#include <stdint.h>

#include "bpf/bpf.h"

/* What one event cost. */
struct hook_calls {
    uint32_t calls;     /* of extensions */
    uint32_t contained; /* of these, abandoned: 0 or 1 */
};

/* hooks_<name> of each hook that extensions are deployed on: the event's verdict. In a batch, on the boot core. */
#define HOOKS_DECLARE(name, hook, context_type, priority_class, verdicts, pass)                              \
    uint32_t hooks_##name(context_type *context, struct hook_calls *calls);
BPF_DEPLOYABLE_HOOKS(HOOKS_DECLARE)
#undef HOOKS_DECLARE

#endif
