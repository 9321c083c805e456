/* The eBPF engine's interface for the kernel, the host build and the tests.
 *
 * RFC 9669 (base32, base64, divmul32, divmul64, local calls), hooks with Linux's context layouts. The same C runs in
 * the kernel and, through cffi, on the host. Limits, refusals, hooks, map kinds and helpers are declared in
 * contracts/ebpf, from which assay_ebpf.h is generated. Nothing here allocates: callers pass arenas; the few services
 * that the engine needs of its surroundings are the bpf_env_* functions at the end.
 *
 * The life of a program: struct bpf_prog is filled in -> bpf_verify() (accepts with a WCET bound, and rewrites context
 * loads and map references in place) -> bpf_jit_arm64() or bpf_interp().
 */
#ifndef ASSAY_BPF_BPF_H
#define ASSAY_BPF_BPF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assay_ebpf.h"

/* One slot, RFC 9669 section 3. `regs`: dst in bits 3:0, src in bits 7:4. */
struct bpf_insn {
    uint8_t code;
    uint8_t regs;
    int16_t off;
    int32_t imm;
};
_Static_assert(sizeof(struct bpf_insn) == 8, "RFC 9669 section 3");

/* ---- hooks ------------------------------------------------------------------------------------------------------ */

/* One member of a context whose layout for programs differs from the kernel's. */
struct bpf_ctx_field {
    uint8_t off, size; /* as programs load it: whole */
    uint8_t kernel_off, kernel_size; /* where the kernel has it */
    uint8_t points; /* enum bpf_points */
};

/* The engine's description of a hook. */
struct bpf_hook_shape {
    const char *name;
    const char *load_rule; /* what a refused context load should have been */
    uint16_t ctx_size; /* of the context as programs see it; 0: r1 is memory, r2 its size */
    uint16_t kernel_ctx_size;
    uint16_t packet_at, packet_end_at; /* in the kernel's context, for BPF_HOOKS_WITH_PACKET */
    uint8_t field_count; /* 0: a program loads any bytes of the context, as the kernel has them */
    struct bpf_ctx_field fields[BPF_CTX_FIELDS_MAX];
};

/* The shape of a hook's number, or NULL. */
const struct bpf_hook_shape *bpf_hook_find(uint32_t number);

static inline bool bpf_hook_in(uint32_t hooks, uint32_t number)
{
    return number < BPF_HOOK_COUNT && (hooks >> number & 1u) != 0;
}

/* ---- maps ------------------------------------------------------------------------------------------------------ */

struct bpf_map; /* laid out in map.h; value addresses are stable for a map's life */

struct bpf_map_def {
    char name[BPF_MAP_NAME_SIZE];
    uint32_t type, key_size, value_size, max_entries, flags;
};

/* Bytes of memory a map of this shape needs, or 0 if the shape is refused (why: *reason, static text). */
size_t bpf_map_footprint(const struct bpf_map_def *def, const char **reason);
/* Builds a map in `memory` (8-byte aligned, footprint bytes). `init` (may be NULL) fills a frozen map. */
struct bpf_map *bpf_map_init(void *memory, const struct bpf_map_def *def, const void *init, size_t init_size);
void bpf_map_clear(struct bpf_map *map); /* reset to the state after bpf_map_init */
const struct bpf_map_def *bpf_map_def_of(const struct bpf_map *map);
/* True when the map's contents may pass to the program that replaces its own. */
bool bpf_map_is_inherited(const struct bpf_map *map);
void *bpf_map_lookup(struct bpf_map *map, const void *key);
/* Linux's flags (BPF_ANY 0, BPF_NOEXIST 1, BPF_EXIST 2) and negative errno results. */
int64_t bpf_map_update(struct bpf_map *map, const void *key, const void *value, uint64_t flags);
int64_t bpf_map_delete(struct bpf_map *map, const void *key);
/* Entry number `cursor` or the first after it: points key and value at it and returns the next cursor; 0 at the end. */
uint32_t bpf_map_next(struct bpf_map *map, uint32_t cursor, const void **key, const void **value);
/* First byte of the values of a kind that has direct value references (arrays); NULL for other kinds. */
void *bpf_map_values(struct bpf_map *map);

/* ---- programs -------------------------------------------------------------------------------------------------- */

struct bpf_prog {
    struct bpf_insn *insns; /* rewritten in place by bpf_verify */
    uint32_t slots;
    enum bpf_hook hook;
    /* Hooks with memory: r1 points at this many bytes, aligned to 8, and r2 is their number. */
    uint32_t test_mem_size;
    struct bpf_map *maps[BPF_MAX_MAPS];
    uint32_t map_count;
    /* filled by bpf_verify */
    uint64_t wcet; /* bound in eBPF instructions, helpers at bpf_helper_cost() */
    uint32_t subprog_start[BPF_MAX_SUBPROGS];
    uint32_t subprog_stack[BPF_MAX_SUBPROGS]; /* bytes used, multiple of 16 */
    uint32_t subprog_count;
    uint32_t stack_bytes; /* worst case over call chains */
    /* per-slot facts for the JIT, slots entries (may be NULL); bit 0: reached. Context loads that no path reaches
     * are not rewritten: do not translate slots without it */
    uint8_t *slot_flags;
};

#define BPF_SLOT_REACHED 1u

struct bpf_verdict {
    enum bpf_refusal refusal;
    uint32_t slot; /* where */
    uint32_t processed; /* instructions processed */
    uint32_t peak_states;
    char reason[BPF_REASON_SIZE]; /* reason, where, the path that led there, what would fix it */
};

size_t bpf_verify_arena_size(void); /* an upper bound in bytes: at most 4 MiB */
/* Verifies and rewrites. Returns true if accepted. On refusal prog->insns are unchanged. */
bool bpf_verify(struct bpf_prog *prog, void *arena, size_t arena_size, struct bpf_verdict *out);

/* Cost of a helper in eBPF instructions, or 0 if the kernel has none of that number. */
uint32_t bpf_helper_cost(int32_t helper);
/* The same for a call on a map of this shape (NULL: as bpf_helper_cost); what wcet and bpf_run.executed count. */
uint32_t bpf_helper_cost_on(int32_t helper, const struct bpf_map_def *def);

/* ---- running --------------------------------------------------------------------------------------------------- */

/* A region that the interpreter may touch. */
struct bpf_region {
    uint64_t base, size;
    bool writable;
};

struct bpf_run {
    uint64_t r0;
    uint64_t executed; /* in the unit of wcet */
    uint32_t slot; /* where it ended */
    enum bpf_interp_end end;
    uint64_t address; /* of the violation */
};

/* Interprets a verified (or, for tests, any rewritten) program with every access checked against the context, the
 * packet or test memory, the stack frames, and map values. `context` is the kernel's context of the program's
 * hook, or the test memory. Ends after `fuel` eBPF instructions at the latest. */
void bpf_interp(const struct bpf_prog *prog, void *context, uint64_t fuel, struct bpf_run *out);

/* ---- JIT ------------------------------------------------------------------------------------------------------- */

struct bpf_jit_result {
    uint32_t bytes; /* of code, literals included */
    uint32_t max_per_slot; /* most A64 instructions that one slot became */
    const char *error; /* static text, NULL on success */
    uint32_t slot; /* where the error is */
};

/* Emits A64 for an accepted program into `code` (a writable alias), to run at virtual address `code_va`.
 * `slot_to_offset` (slots + 1 entries, may be NULL) maps slots to byte offsets, for annotated disassembly.
 * The entry is at code_va and follows AAPCS64: uint64_t entry(void *context[, uint64_t test_mem_size]).
 * It keeps to x0-x28 as AAPCS64 has it. A function that calls makes a frame record first; a leaf has none, so a
 * fault in one is unwound from the caller's own record of the invocation. */
bool bpf_jit_arm64(const struct bpf_prog *prog, void *code, size_t code_size, uint64_t code_va,
                   uint32_t *slot_to_offset, struct bpf_jit_result *out);

/* Address of helper `number` for calls out of JIT code and the interpreter: uint64_t f(r1, r2, r3, r4, r5). */
typedef uint64_t (*bpf_helper_fn)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
bpf_helper_fn bpf_helper_address(int32_t number);

/* ---- services that the environment provides --------------------------------------------------------------------- */

uint64_t bpf_env_ktime_ns(void); /* bpf_ktime_get_ns: virtual arrival time during trial and replay */
uint32_t bpf_env_prandom_u32(void); /* derives from the seed of the run */
uint32_t bpf_env_cpu(void);
void bpf_env_trace(const char *text, size_t length); /* bpf_trace_printk */

#endif
