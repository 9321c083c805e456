/* The eBPF engine: what the kernel, the host build and the tests see of it.
 *
 * RFC 9669 (base32, base64, divmul32, divmul64, local calls), hooks with Linux's context layouts. The same C runs in
 * the kernel and, through cffi, on the host. Nothing here allocates: callers pass arenas; the few services that the
 * engine needs of its surroundings are the bpf_env_* functions at the end.
 *
 * The life of a program: struct bpf_prog is filled in -> bpf_verify() (accepts with a WCET bound, and rewrites context
 * loads and map references in place) -> bpf_jit_arm64() or bpf_interp().
 */
#ifndef ASSAY_BPF_H
#define ASSAY_BPF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One slot, RFC 9669 section 3. `regs`: dst in bits 3:0, src in bits 7:4. */
struct bpf_insn {
    uint8_t code;
    uint8_t regs;
    int16_t off;
    int32_t imm;
};
_Static_assert(sizeof(struct bpf_insn) == 8, "RFC 9669 section 3");

#define BPF_MAX_SLOTS      4096u
#define BPF_MAX_MAPS       8u
#define BPF_MAX_SUBPROGS   16u
#define BPF_MAX_CALL_DEPTH 8u
#define BPF_STACK_SIZE                                                                                       \
    512u /* bytes; r10 points one past the frame's end. As in Linux all frames of a call chain share
                                them: bpf_prog.stack_bytes is at most this */
#define BPF_MAX_PROCESSED 200000u /* hard cap on instructions the verifier processes */
#define BPF_REASON_SIZE   512u

enum bpf_hook { BPF_HOOK_TEST = 0, BPF_HOOK_NET_RX = 1, BPF_HOOK_TIMER = 2 };

/* Linux's enum bpf_map_type, and the flags of contracts/program.py. */
enum bpf_map_type { BPF_MAP_HASH = 1, BPF_MAP_ARRAY = 2 };
#define BPF_MAP_RDONLY_PROG 0x80u
#define BPF_MAP_FRESH       0x80000000u

/* The kernel's own context for net_rx. Programs are compiled against Linux's struct xdp_md, whose 32-bit loads at
 * offsets 0 (data), 4 (data_end), 8 (data_meta), 12 (ingress_ifindex), 16 (rx_queue_index) and 20 (egress_ifindex)
 * the verifier rewrites into loads of these fields. */
struct bpf_xdp_ctx {
    uint64_t data;
    uint64_t data_end;
    uint64_t data_meta;
    uint32_t ingress_ifindex;
    uint32_t rx_queue_index;
    uint32_t egress_ifindex;
    uint32_t reserved;
};

/* Context of a timer program: programs see exactly these 16 read-only bytes. */
struct bpf_timer_ctx {
    uint64_t now_ns;
    uint64_t period_ns;
};

/* ---- maps ------------------------------------------------------------------------------------------------------ */

struct bpf_map; /* laid out in maps.c; value addresses are stable for a map's life */

struct bpf_map_def {
    char name[16];
    uint32_t type, key_size, value_size, max_entries, flags;
};

/* Bytes of memory a map of this shape needs, or 0 if the shape is refused (why: *reason, static text). */
size_t bpf_map_footprint(const struct bpf_map_def *def, const char **reason);
/* Builds a map in `memory` (8-byte aligned, footprint bytes). `init` (may be NULL) fills a frozen array map. */
struct bpf_map *bpf_map_init(void *memory, const struct bpf_map_def *def, const void *init, size_t init_size);
void bpf_map_clear(struct bpf_map *map); /* back to how bpf_map_init left it */
const struct bpf_map_def *bpf_map_def_of(const struct bpf_map *map);
void *bpf_map_lookup(struct bpf_map *map, const void *key);
/* Linux's flags (BPF_ANY 0, BPF_NOEXIST 1, BPF_EXIST 2) and negative errno results. */
int64_t bpf_map_update(struct bpf_map *map, const void *key, const void *value, uint64_t flags);
int64_t bpf_map_delete(struct bpf_map *map, const void *key);
/* Entry number `cursor` or the first after it: points key and value at it and returns the next cursor; 0 at the end. */
uint32_t bpf_map_next(struct bpf_map *map, uint32_t cursor, const void **key, const void **value);
/* First byte of an array map's values (for direct value references); NULL for other kinds. */
void *bpf_map_values(struct bpf_map *map);

/* ---- programs -------------------------------------------------------------------------------------------------- */

struct bpf_prog {
    struct bpf_insn *insns; /* rewritten in place by bpf_verify */
    uint32_t slots;
    enum bpf_hook hook;
    uint32_t
        test_mem_size; /* BPF_HOOK_TEST: r1 = memory of this many bytes, 8-byte aligned, r2 = this number */
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

/* Why a program is refused; the text in bpf_verdict.reason says it in words, with registers and ranges. */
enum bpf_refusal {
    BPF_ACCEPTED = 0,
    BPF_BAD_ENCODING,
    BPF_BAD_JUMP,
    BPF_BAD_REGISTER,
    BPF_UNINITIALISED,
    BPF_BAD_ACCESS,
    BPF_BAD_POINTER_ARITHMETIC,
    BPF_BAD_HELPER,
    BPF_BAD_RETURN,
    BPF_BAD_CALL,
    BPF_STACK_TOO_DEEP,
    BPF_INFINITE_LOOP,
    BPF_TOO_COMPLEX,
    BPF_POINTER_LEAK,
    BPF_BAD_MAP,
    BPF_UNSUPPORTED,
};

struct bpf_verdict {
    enum bpf_refusal refusal;
    uint32_t slot; /* where */
    uint32_t processed; /* instructions processed */
    uint32_t peak_states;
    char reason[BPF_REASON_SIZE]; /* reason, where, the path that led there, what would fix it */
};

size_t bpf_verify_arena_size(void); /* bytes that are always enough: at most 4 MiB */
/* Verifies and rewrites. Returns true when accepted. On refusal prog->insns are as they were. */
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

enum bpf_interp_end {
    BPF_RUN_OK = 0,
    BPF_RUN_OUT_OF_BOUNDS,
    BPF_RUN_OUT_OF_FUEL,
    BPF_RUN_BAD_INSN,
    BPF_RUN_BAD_CALL
};

struct bpf_run {
    uint64_t r0;
    uint64_t executed; /* in the unit of wcet */
    uint32_t slot; /* where it ended */
    enum bpf_interp_end end;
    uint64_t address; /* of the violation */
};

/* Interprets a verified (or, for tests, any rewritten) program with every access checked against the context, the
 * packet or test memory, the stack frames, and map values. `context` is a bpf_xdp_ctx, a bpf_timer_ctx, or the test
 * memory. Ends by itself after `fuel` eBPF instructions. */
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

/* ---- services that the surroundings provide --------------------------------------------------------------------- */

uint64_t bpf_env_ktime_ns(void); /* bpf_ktime_get_ns: virtual arrival time during trial and replay */
uint32_t bpf_env_prandom_u32(void); /* derives from the seed of the run */
uint32_t bpf_env_cpu(void);
void bpf_env_trace(const char *text, size_t length); /* bpf_trace_printk */

#endif
