/*
 * Extensions: code that is loaded into the running kernel. The image's kind selects the operations; what is common to
 * all kinds is here. Configurations, watch, deploy, trial and replay know extensions only:
 *
 *     LOAD      unseal, then ops->load, verify, emit    extension.c, kinds.h
 *     RUN       ops->clear, and calls                   run.c, invoke.h
 *     TRIAL     ops->trial, clear, and calls            trial.c
 *     DEPLOY    ops->bind, then one store-release       deploy.c, config.h, watch.h
 *     REPLAY    calls by the hooks                      replay.c, hooks.h
 *     UNLOAD    ops->free                               extension.c
 *
 * Everything in live/ runs on the boot core: handlers and hooks on its kernel stack, containment on its exception
 * stack. The other cores are parked and hold no reference to code or configurations (kernel.h).
 */
#ifndef ASSAY_LIVE_EXTENSION_H
#define ASSAY_LIVE_EXTENSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assay_messages.h"
#include "drivers/pmu.h"
#include "live/image.h"
#include "live/refusal.h"

#define EXTENSIONS_MAX 32u

/* Where an extension sits: a deploy replaces the extension of the same slot, and inherits its state. */
struct slot {
    uint8_t hook;      /* enum bpf_hook */
    uint16_t priority; /* lowest runs first */
};

/* The extension's two states: the one that deployed code works on, and the trial's own. */
enum extension_state { EXTENSION_LIVE, EXTENSION_TRIAL };

/*
 * The way into an extension on one of its states. `entry` is called as AAPCS64 has it: uint64_t entry(void *context,
 * uint64_t size). A fault, and the watchdog's alarm, end the call when the PC is within `code_bytes` of it; a kind
 * that runs its code elsewhere than in the JIT region has an entry of the kernel's own, and 0 bytes.
 */
struct binding {
    uintptr_t entry; /* 0 until there is one */
    uint32_t code_bytes;
};

struct extension {
    uint32_t handle; /* 0: free entry */
    uint32_t flags;  /* ASSAY_IMAGE_FLAG_* */
    const struct extension_ops *ops;
    void *own; /* the kind's own part, set by ops->load */
    struct slot slot;
    uint32_t test_mem_size; /* of the test hook, else 0 */
    uint64_t seed;
    char name[16];
    struct binding bindings[2]; /* by enum extension_state */
    uint64_t bound_ns;          /* the longest that a call may take, and the same in timer ticks */
    uint64_t bound_ticks;
};

/* What a call by the kind's reference interpreter came to. */
struct interpreted {
    uint64_t value;
    const char *fault; /* how it ended before its time, in words that follow "ended"; null: it returned */
    uint32_t slot;     /* where */
    uint64_t address;  /* of the violation */
};

/*
 * What a kind does. A handler calls these, between invocations; every one is there. Those that return bool fill the
 * refusal in when it is false.
 */
struct extension_ops {
    /* Takes the parts of an unsealed image, which are valid during the call. */
    bool (*load)(struct extension *extension, const struct image *image, struct refusal *refusal);
    /* Checks the code. */
    bool (*verify)(struct extension *extension, struct refusal *refusal);
    /* Makes it ready to be called: fills in the live binding and the bounds. */
    bool (*emit)(struct extension *extension, struct refusal *refusal);
    /* Adds what LOAD answers of this kind alone. */
    void (*describe)(const struct extension *extension, struct assay_load_response *out);
    /* Before a deploy: takes over the state of `deployed` (same slot; may be null). Refused: nothing has changed. */
    bool (*bind)(struct extension *extension, const struct extension *deployed, struct refusal *refusal);
    /* Before a trial: gives the extension its trial state and binding, once. */
    bool (*trial)(struct extension *extension, struct refusal *refusal);
    /* Puts one state back to what it was when it was made. */
    void (*clear)(struct extension *extension, enum extension_state state);
    /* One call in the reference interpreter, on the same state as a call of the binding. */
    void (*interpret)(struct extension *extension, enum extension_state state, void *context,
                      struct interpreted *out);
    /* Map number `index` of one state; null when there is none. *count is the number of its maps. */
    struct bpf_map *(*map)(const struct extension *extension, enum extension_state state, uint32_t index,
                           uint32_t *count);
    /* Gives everything back, however far the load came. */
    void (*free)(struct extension *extension);
};

/* What the stages of a load cost. */
struct load_cost {
    struct pmu_cost unseal, verify, jit;
};

/* Forgets all extensions; the pools of the kinds start afresh too. */
void extensions_init(void);

/* The extension of a handle, or null. */
struct extension *extension_find(uint32_t handle);

uint32_t extensions_loaded(void);

/* Its number in the table of extensions, below EXTENSIONS_MAX: the index of its kind's own part in that kind's table. */
uint32_t extension_index(const struct extension *extension);

/* Unseals, verifies and emits the image; null: *refusal says why, and nothing is kept. */
struct extension *extension_load(const uint8_t *image, size_t size, struct load_cost *cost,
                                 struct refusal *refusal);

/* Called by handlers only, between invocations, for an extension that no configuration holds. */
void extension_free(struct extension *extension);

#endif
