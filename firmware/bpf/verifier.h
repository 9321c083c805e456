/* The verifier's state, shared by its files.
 *
 * Files, in the order a program meets them: cfg.c (encoding, subprograms, reachability), liveness.c (which registers
 * and stack slots may still be read), relevance.c (whose values can matter), verifier.c (the walk over paths),
 * verifier_alu.c, verifier_mem.c, verifier_stack.c, verifier_helper.c, verifier_branch.c (one instruction on one
 * state), verifier_state.c (states packed and compared), verifier_paths.c (states saved, and the longest path over
 * them), refusal.c (why not, in words).
 */
#ifndef ASSAY_BPF_VERIFIER_H
#define ASSAY_BPF_VERIFIER_H

#include "bpf.h"
#include "insn.h"
#include "transfer.h"

#define STACK_SLOTS (BPF_STACK_SIZE / 8)
#define MAX_OFFSET  (1 << 29) /* no pointer is moved further than this from its object */
#define MAX_PACKET  0xffffu

enum reg_type {
    REG_NOT_INIT = 0,
    REG_SCALAR,
    REG_CTX,
    REG_MEMORY, /* the `test` hook's memory */
    REG_STACK,
    REG_PACKET,
    REG_PACKET_END,
    REG_PACKET_META,
    REG_MAP,
    REG_VALUE, /* inside a map's value */
    REG_VALUE_OR_NULL,
};

/* A register or an 8-byte stack slot. A pointer is (object, off + scalar); a constant offset is all in `off`. */
struct reg {
    uint8_t type;
    uint8_t index; /* REG_MAP, REG_VALUE*: map. REG_STACK: frame */
    uint16_t range; /* REG_PACKET, REG_PACKET_META: bytes from where off is 0 that are known to exist */
    int32_t off;
    /* Same id, same unknown: equal scalars, packet pointers of one base, one lookup's result. 0: none. */
    uint32_t id;
    uint32_t form; /* how verifier_state.c packed it */
    struct scalar scalar;
};

/* The ids of `data` and `data_meta` as the context has them. */
#define PACKET_BASE_ID 1u
#define META_BASE_ID   2u

/* Stack slot n is the bytes fp-8n-8 to fp-8n-1; bit b of its byte masks is the byte at 8-byte boundary + b. */
struct frame {
    struct reg regs[10];
    uint64_t used; /* slots with any byte initialised */
    uint64_t spilled; /* slots whose content `spill` describes: all of it, */
    uint64_t narrow; /* or its low four bytes, zero-extended */
    uint8_t init[STACK_SLOTS];
    uint8_t zero[STACK_SLOTS];
    uint32_t call_slot; /* of the call that made this frame */
    uint32_t subprog;
    struct reg spill[STACK_SLOTS];
};

#define SLOT_REACHED    0x01u /* some path walked it */
#define SLOT_TAIL       0x02u /* second half of an lddw */
#define SLOT_JOIN       0x04u /* paths meet here: states are compared and saved */
#define SLOT_CTX_LOAD   0x08u /* reads the context: to be rewritten */
#define SLOT_OTHER_LOAD 0x10u /* reads something else */
#define SLOT_LENDS      0x20u /* a local call that hands on a pointer into the stack */
#define SLOT_VISITED    0x40u /* cfg.c: found reachable */
#define SLOT_SUBPROG    0x80u /* a subprogram starts here */

/* What is known of each instruction slot. `live_*` is before the instruction. */
struct slot_info {
    uint8_t flags;
    uint8_t subprog;
    uint16_t live_regs;
    uint32_t active; /* newest node here whose paths are still being walked; 0: none */
    uint32_t done; /* newest completed node here */
    uint32_t matter_regs; /* registers whose value may yet decide a branch or an address, */
    uint64_t matter_slots; /* and stack slots */
    uint64_t live_low; /* stack slots whose bytes 0 to 3 may be read later, */
    uint64_t live_high; /* and bytes 4 to 7 */
};

/* What an instruction does to its own function's stack, as far as can be told without walking. */
enum access_kind { ACCESS_NONE = 0, ACCESS_READ, ACCESS_WRITE, ACCESS_READ_ALL, ACCESS_WRITE_SOMEWHERE };

struct stack_access {
    int16_t off; /* from r10 */
    uint16_t size;
    uint8_t kind;
    uint8_t seen; /* the forward pass was here */
};

struct verifier {
    struct bpf_prog *prog;
    const struct bpf_hook_shape *hook;
    struct bpf_verdict *out;
    struct slot_info *info; /* prog->slots entries */
    uint8_t *pool; /* nodes grow from its start, pending branches from its end */
    uint32_t pool_size, pool_low, pool_high; /* bytes */
    /* the state being walked */
    uint32_t slot, depth;
    uint32_t node; /* newest saved state on this path */
    uint32_t forks; /* since that node */
    uint32_t steps; /* instructions since that node */
    uint64_t cost; /* in the unit of wcet, since that node */
    uint64_t trail[2]; /* the last eight branches: slot * 2 + taken, 16 bits each, newest lowest */
    struct reg fp;
    uint32_t next_id;
    uint32_t processed, nodes, branches, peak;
    uint32_t stack_used[BPF_MAX_SUBPROGS];
    bool all_live[BPF_MAX_SUBPROGS]; /* liveness.c cannot tell which stack slots are read */
    struct frame frames[BPF_MAX_CALL_DEPTH];
};

/* How a step of the walk ended. */
enum step { STEP_ON, STEP_PATH_END, STEP_REFUSED };

/* refusal.c. Records a refusal at v->slot and returns false. `fix`: what would make it acceptable, or NULL.
 * Formats are text_format's. */
bool verifier_refuse(struct verifier *v, enum bpf_refusal why, const char *fix, const char *format, ...);
/* What register `number` holds, for refusals: text that lives until the next call. */
const char *verifier_reg_words(const struct reg *reg);

/* cfg.c. Refuses what is malformed or unreachable; fills prog->subprog_start, info[].flags and info[].subprog. */
bool verifier_check_encoding(struct verifier *v);
bool verifier_find_subprograms(struct verifier *v);
bool verifier_check_flow(struct verifier *v);
/* After the walk: no recursion, stack depth; fills stack_bytes. */
bool verifier_check_call_graph(struct verifier *v);

/* liveness.c. Fills info[].live_* and SLOT_LENDS; `scratch` has verifier_liveness_scratch_size(slots) bytes, and begins
 * with one stack_access a slot afterwards. */
size_t verifier_liveness_scratch_size(uint32_t slots);
void verifier_find_liveness(struct verifier *v, void *scratch);
bool verifier_program_loops(const struct verifier *v);
/* Marks the 4-byte halves of stack slots that [r10 + off, + size) touches, or, for `whole`, covers. */
void verifier_mark_slots(int32_t off, uint32_t size, bool whole, uint64_t *low, uint64_t *high);

/* relevance.c. Fills info[].matter_*, from what verifier_find_liveness left. */
void verifier_find_relevance(struct verifier *v, const struct stack_access *access);

/* verifier_paths.c */
enum visit { VISIT_WALK_ON, VISIT_COVERED, VISIT_LOOPS };
void verifier_states_start(struct verifier *v);
enum visit verifier_visit_join(struct verifier *v);
/* Saves the present state, to be walked later as the taken side of the branch at v->slot. */
bool verifier_push_branch(struct verifier *v);
/* Back to the newest saved branch, v->slot at the branch; false when there is none. */
bool verifier_pop_branch(struct verifier *v);
/* The path ends here, after `more` further cost. */
void verifier_end_path(struct verifier *v, uint64_t more);
uint64_t verifier_wcet(const struct verifier *v);

/* One instruction on the present state. */
bool verifier_step_alu(struct verifier *v, const struct bpf_insn *insn); /* verifier_alu.c */
bool verifier_step_lddw(struct verifier *v, const struct bpf_insn *insn); /* verifier_mem.c */
bool verifier_step_load(struct verifier *v, const struct bpf_insn *insn);
bool verifier_step_store(struct verifier *v, const struct bpf_insn *insn);
bool verifier_step_atomic(struct verifier *v, const struct bpf_insn *insn);
bool verifier_step_helper(struct verifier *v, const struct bpf_insn *insn); /* verifier_helper.c */
bool verifier_step_local_call(struct verifier *v, const struct bpf_insn *insn);
enum step verifier_step_exit(struct verifier *v);
enum step verifier_step_branch(struct verifier *v, const struct bpf_insn *insn); /* verifier_branch.c */
/* After verifier_pop_branch: the taken side's knowledge, and its slot. */
void verifier_take_branch(struct verifier *v);

/* verifier_mem.c: of a context that is rewritten, the member that a load reads, or NULL. */
const struct bpf_ctx_field *verifier_ctx_field(const struct bpf_hook_shape *hook, int32_t off, uint32_t size);
/* `size` bytes at reg + off, reg being any pointer into memory but the stack. */
bool verifier_check_access(struct verifier *v, uint32_t number, const struct reg *reg, int32_t off,
                           uint32_t size, bool write);

/* verifier_stack.c: `off` is from the frame's end, and negative. */
bool verifier_stack_load(struct verifier *v, const struct reg *at, int32_t off, uint32_t size,
                         struct reg *result);
bool verifier_stack_store(struct verifier *v, const struct reg *at, int32_t off, uint32_t size,
                          struct reg *source);
bool verifier_stack_read(struct verifier *v, const struct reg *at, int32_t off,
                         uint32_t size); /* by a helper */

static inline struct frame *verifier_top_frame(struct verifier *v)
{
    return &v->frames[v->depth];
}

static inline struct reg *verifier_reg_at(struct verifier *v, uint32_t number)
{
    return number == BPF_FP ? &v->fp : &v->frames[v->depth].regs[number];
}

static inline bool verifier_is_pointer(const struct reg *reg)
{
    return reg->type > REG_SCALAR;
}

static inline void verifier_set_scalar(struct reg *reg, struct scalar scalar)
{
    reg->type = REG_SCALAR;
    reg->index = 0;
    reg->range = 0;
    reg->off = 0;
    reg->id = 0;
    reg->scalar = scalar;
}

static inline void verifier_set_pointer(struct reg *reg, enum reg_type type, uint32_t index)
{
    verifier_set_scalar(reg, scalar_const(0));
    reg->type = (uint8_t)type;
    reg->index = (uint8_t)index;
}

static inline uint32_t verifier_new_id(struct verifier *v)
{
    return ++v->next_id;
}

/* A number of `size` bytes of which nothing is known; what scalar_range gives, written out since each load asks. */
static inline struct scalar verifier_unknown_of_size(uint32_t size)
{
    struct scalar a = scalar_unknown();

    if (size == 8)
        return a;
    a.umax = ((uint64_t)1 << (8 * size)) - 1;
    a.bits.mask = a.umax;
    a.smin = 0;
    a.smax = (int64_t)a.umax;
    if (size == 4)
        return a;
    a.u32_max = (uint32_t)a.umax;
    a.s32_min = 0;
    a.s32_max = (int32_t)a.umax;
    return a;
}

static inline uint32_t verifier_lowest_set(uint64_t bits)
{
    return (uint32_t)__builtin_ctzll(bits);
}

#endif
