/*
 * The live-code engine: programs, the configurations that put them on hooks, and what happens when one misbehaves.
 *
 *     image.c    unseal            program.c  a loaded program: maps, verification, code
 *     maps.c     refcounted maps   config.c   the deploy unit: one pointer to an immutable configuration
 *     invoke.c   one call of JIT code, contained: fault and overrun        invoke.S  its trampoline
 *     load.c, run.c, trial.c, deploy.c, replay.c: the message handlers
 *
 * Everything here runs on the boot core: handlers and hooks on its kernel stack, containment on its exception stack.
 * The other cores are parked and hold no reference to code or configurations (kernel.h).
 */
#ifndef ASSAY_LIVE_H
#define ASSAY_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assay_messages.h"
#include "arch/arm64/cpu.h"
#include "bpf/bpf.h"
#include "drivers/timer.h"
#include "live/image.h"
#include "live/pool.h"

#define PROGRAMS_MAX  32u
#define LIVE_MAPS_MAX 256u

/* ---- maps (maps.c) ---------------------------------------------------------------------------------------------- */

/* Where a program sits: a deploy replaces the program of the same slot, and inherits its maps. */
struct slot {
    uint8_t hook;      /* ASSAY_HOOK_* */
    uint16_t priority; /* lowest runs first */
};

/* A map with its references. Known by (slot, name, shape); its memory, so every value's address, never moves. */
struct live_map {
    uint32_t refs; /* 0: free entry */
    struct bpf_map *map;
};

void maps_init(void);
/* Why there is no map: BAD_IMAGE for what no kernel would take, NO_MEMORY for what does not fit now; static text. */
struct map_refusal {
    uint16_t status;
    const char *reason;
};
/* A new map with one reference, or null: *refusal says why. `init` is the initial value of a frozen map. */
struct live_map *maps_create(const struct bpf_map_def *def, const void *init, size_t init_size,
                             struct map_refusal *refusal);
void maps_hold(struct live_map *map);
void maps_drop(struct live_map *map); /* null is fine */
/* True when `map` may serve where `def` is asked for: same name and shape, neither frozen nor fresh. */
bool maps_inheritable(const struct live_map *map, const struct bpf_map_def *def);
extern struct pool map_memory;

/* ---- programs (program.c) ---------------------------------------------------------------------------------------- */

/* A program's code bound to one set of maps: the live ones, or the trial's own. */
struct binding {
    struct live_map *maps[BPF_MAX_MAPS];
    struct bpf_insn *insns; /* with the addresses of these maps in them */
    uintptr_t code;         /* in the JIT region, 0 until emitted */
    uint32_t code_bytes;
};

struct program {
    uint32_t handle; /* 0: free entry */
    struct bpf_map_def defs[BPF_MAX_MAPS]; /* as the image asks for them */
    struct slot slot;
    uint32_t flags; /* ASSAY_IMAGE_FLAG_* */
    uint64_t seed;
    char name[16];
    struct bpf_prog bpf; /* as verified; insns and maps are those of `live` */
    struct bpf_verdict verdict;
    struct bpf_insn *original; /* before the verifier rewrote it: says which slots refer to maps */
    struct binding live, trial;
    uint32_t max_per_slot;
    uint64_t bound_ns;
    uint64_t bound_ticks;
    uint64_t
        clean_calls; /* testing kernels: deployed calls before a planted defect acts, as the image says */
    uint64_t calls_left;  /* of them, since the deploy */
};

/* What the stages of a load cost, in instructions. */
struct load_cost {
    uint64_t unseal, verify, jit;
};

/* Why a load or a rebinding failed: a status, and text. */
struct load_error {
    uint16_t status;
    char text[BPF_REASON_SIZE + 64];
};

void programs_init(void);
/* The program of a handle, or null. */
struct program *program_find(uint32_t handle);
uint32_t programs_loaded(void);
/* Unseals, verifies and emits the image; null: *error says why and nothing is kept. */
struct program *program_load(const uint8_t *image, size_t size, struct load_cost *cost,
                             struct load_error *error);
void program_free(struct program *program);
/* Gives the program trial maps and code bound to them, once. False: *error. */
bool program_prepare_trial(struct program *program, struct load_error *error);
/* Makes the live binding share the maps that `deployed` (may be null) holds, emitting code anew if it has to. */
bool program_inherit(struct program *program, const struct program *deployed, struct load_error *error);
extern struct pool code_memory;

/* ---- configurations (config.c) ----------------------------------------------------------------------------------- */

#define CHAIN_MAX   4u
#define HOOKS_MAX   3u
#define HISTORY_MAX 8u /* configurations kept: the active one and seven rollback points */

/* Programs of one hook in order of priority. Verdicts combine as live/hooks.h says. */
struct chain {
    uint32_t count;
    struct program *programs[CHAIN_MAX];
};

/* The deploy unit: immutable once it is active. */
struct live_config {
    struct chain hooks[HOOKS_MAX];
};

void config_init(void);
/* The one pointer: 8-byte aligned, written by store-release only. */
extern const struct live_config *config_pointer;
/* The active configuration, by load-acquire. Never null. */
static inline const struct live_config *config_active(void)
{
    return __atomic_load_n(&config_pointer, __ATOMIC_ACQUIRE);
}
uint32_t config_generation(void); /* swaps so far */
uint32_t config_depth(void);      /* rollback points */
uint32_t config_deployed(void);   /* programs in the active configuration */
uint32_t config_rollbacks(void);
/* The active program of a slot, or null. */
struct program *config_program_at(struct slot slot);
/* True when the active configuration (or, with `history`, any kept one) holds the program. */
bool config_holds(const struct program *program, bool history);
/* Why the program cannot be put on its hook (static text), or null. */
const char *config_deploy_fault(const struct program *program);
/* One store-release to a configuration with the program in its slot; the previous one is the rollback point. */
void config_deploy(struct program *program);
/* One store-release to the latest configuration without `program` (null: to the previous one). False, and nothing done:
 * the active configuration does not hold the program (null: there is no rollback point). */
bool config_take_back(const struct program *program);

/* The watch window of the latest deploy. */
void watch_open(struct program *program, uint32_t invocations);
uint32_t watch_remaining(void);
/* Ends the window if `program` (null: whatever it is) is watched. */
void watch_close(const struct program *program);
/* Ends the window of the watched program as passed. */
void watch_pass(void);
/* What the hooks count down: the watched program (null: no window is open) and its clean calls to come. */
extern struct watch {
    const struct program *program;
    uint32_t remaining;
} watch;
static inline void watch_clean_call(const struct program *program)
{
    if (watch.program == program && --watch.remaining == 0)
        watch_pass();
}
/* True once after a window has passed; *event says which. */
bool watch_take_commit(struct assay_commit_event *event);

/* ---- calls (invoke.c, invoke.S) ---------------------------------------------------------------------------------- */

/* How an invocation ended: ASSAY_ROLLBACK_CAUSE_FAULT or _OVERRUN, or INVOKE_CLEAN. */
#define INVOKE_CLEAN 0u

/* One call under way, and what became of it. invoke.S knows the offset of `saved`. */
struct invocation {
    uint64_t saved[10]; /* x21 to x28, x29 and SP of the trampoline */
    struct program *program;
    const struct binding *binding; /* &program->live of a deployed program: containment rolls back */
    uint64_t fallback;
    uint64_t deadline;          /* CNTVCT ticks */
    uint32_t cause; /* INVOKE_CLEAN, or ASSAY_ROLLBACK_CAUSE_*; the rest is set when it is not clean */
    uint32_t esr;
    uint32_t code_offset;
    bool rolled_back;
    uint64_t fault_address;
    uint64_t entered, released; /* raw counts: containment began, and its store-release was done */
    uint64_t rollback_instructions;
};

struct containment_counts {
    uint64_t invocations; /* of deployed code */
    uint32_t faults, overruns;
};
extern struct containment_counts contained;

/* Proves once at boot that a fault in JIT code is contained, and calibrates what the way into the handler costs. */
void invoke_init(void);
/* Around any number of calls: arms and disarms the watchdog. Not nested. */
void invoke_batch_begin(void);
void invoke_batch_end(void);
/* invoke.S */
uint64_t invoke_enter(void *context, uint64_t size, uintptr_t code, struct invocation *invocation,
                      void **live);
/*
 * Calls the binding's code with AAPCS64 arguments (context, size). Sets invocation->cause; when that is not
 * INVOKE_CLEAN the value is `fallback`. Inside a batch only.
 */
static inline uint64_t invoke(struct invocation *invocation, struct program *program,
                              const struct binding *binding, void *context, uint64_t size, uint64_t fallback)
{
    uint64_t ticks;
    __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks)); /* may be early: a deadline is not that exact */
    invocation->program = program;
    invocation->binding = binding;
    invocation->fallback = fallback;
    invocation->cause = INVOKE_CLEAN;
    invocation->deadline = ticks + program->bound_ticks;
    timer_rearm_ticks(invocation->deadline);
    return invoke_enter(context, size, binding->code, invocation, &this_cpu()->live);
}
/* Queues the ROLLBACK event of a contained deployed call; to be called right after its invoke. */
void invoke_report(struct invocation *invocation);

/* ---- what programs see of the world (env.c) ---------------------------------------------------------------------- */

/* Virtual time for bpf_ktime_get_ns, until env_real_time. */
void env_virtual_time(uint64_t now_ns);
void env_real_time(void);
/* Starts the sequence of bpf_get_prandom_u32. */
void env_seed(uint64_t seed);

/* ---- one command's results (trial.c) ----------------------------------------------------------------------------- */

void results_clear(void);
/* Starts new results, of the trial of a handle or (0) of a replay. */
void results_begin(uint32_t handle);
void results_add(uint32_t verdict, uint64_t instructions);

#endif
