/*
 * The hook table: where extensions run. A hook takes the active configuration once, by load-acquire, and runs its
 * chain in order of priority (lowest number first).
 *
 *   net_rx  the first verdict other than XDP_PASS ends the chain and is the packet's; all pass: XDP_PASS. A number
 *           that is no verdict counts as XDP_ABORTED, as in Linux.
 *   timer   every extension runs; results are ignored.
 *
 * A call that had to be contained ends the chain, and the packet passes: an extension is an addition, so without it
 * traffic flows as if it had never been there.
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

/* The verdict on a packet: NET_* of telemetry.h. In a batch (invoke.h), on the boot core. */
uint32_t hooks_net_rx(struct bpf_xdp_ctx *context, struct hook_calls *calls);
void hooks_timer(struct bpf_timer_ctx *context, struct hook_calls *calls);

#endif
