/* Inside the JIT: its state, and what its files offer one another.
 *
 * One pass finds branch targets and functions, one emits; forward branches are chained through their own displacement
 * fields until their target is reached. Registers are fixed within a function:
 *
 *   r0            x0: results of helpers and programs need no move
 *   r1            x5, its home. A program's argument arrives in x0 and a helper's goes there: while `r1_in_x0` holds,
 *                 r1 is read from x0, so that in most programs it never moves (see jit_regs.c)
 *   r2 to r5      x1 to x4, as AAPCS64 wants them for helpers
 *   r6 to r9      x6 to x9 in a function that calls nothing, x19 to x22 (saved where used) in others
 *   r10           SP + the frame's size: always folded into offsets and immediates
 *   x10 to x13    scratch; x16 for helpers out of BL's reach
 *
 * A function that calls nothing and touches no stack has no frame at all. One that calls makes a frame record first
 * (AAPCS64 6.4.6), so a helper's callers can be walked; a fault in JIT code itself is recovered from the dispatcher's
 * invocation record and never unwinds through this code. */
#ifndef ASSAY_BPF_JIT_ARM64_H
#define ASSAY_BPF_JIT_ARM64_H

#include "a64.h"
#include "bpf.h"
#include "insn.h"

enum { T0 = 10, T1 = 11, T2 = 12, T3 = 13, T_CALL = 16 };

/* A bound on the words of one slot, prologue and a moved r1 included: checked before each slot, not at each word. */
#define JIT_SLOT_WORDS 24u
/* Slots that a TBZ certainly spans: its reach is 8192 words either way. */
#define JIT_TBZ_SLOTS (8192u / JIT_SLOT_WORDS - 2u)

/* What jit.slot holds for a slot that is yet to be emitted; afterwards it is the slot's byte offset. */
#define SLOT_TARGET 0x80000000u
#define SLOT_CHAIN  0x000fffffu /* 1 + word index of the last branch that waits for the slot, or 0 */

struct jit_func {
    uint32_t start; /* first slot */
    uint32_t stack; /* bytes below r10 */
    uint32_t entry; /* 1 + word index, 0 until emitted */
    uint32_t chain; /* 1 + word index of the last BL that waits for it */
};

struct jit {
    const struct bpf_prog *prog;
    const struct bpf_insn *insns;
    uint32_t *code;
    uint32_t *slot;
    uint64_t code_va;
    uint32_t slots;
    uint32_t words, limit; /* emitted; room for */
    const char *error;
    uint32_t error_slot;

    /* the function being emitted */
    uint32_t func_end; /* first slot after it */
    uint32_t frame; /* bytes from SP to r10 */
    uint32_t saved; /* callee-saved registers, from x19 up */
    bool calls;
    bool r1_in_x0;
    uint8_t reg[11]; /* homes; reg[10] is unused */
    uint8_t width[16]; /* bits of a register that may be set, as far as this block knows */

    uint32_t func_count;
    struct jit_func funcs[BPF_MAX_SUBPROGS + 1];
};

static inline void jit_emit(struct jit *j, uint32_t word)
{
    j->code[j->words++] = word;
}

static inline bool jit_is_target(const struct jit *j, uint32_t slot)
{
    return (j->slot[slot] & SLOT_TARGET) != 0;
}

/* What the verifier found; where it has not run (tests), every slot counts. */
static inline bool jit_reached(const struct jit *j, uint32_t slot)
{
    const struct bpf_prog *prog = j->prog;
    return prog->slot_flags == NULL || prog->subprog_count == 0 ||
           (prog->slot_flags[slot] & BPF_SLOT_REACHED) != 0;
}

/* True where slot `i` exists and continues the block of the slot before it, so that the two may become one. */
static inline bool jit_continues(const struct jit *j, uint32_t i)
{
    return i < j->func_end && !jit_is_target(j, i);
}

static inline bool jit_fail(struct jit *j, uint32_t slot, const char *why)
{
    if (j->error == NULL) {
        j->error = why;
        j->error_slot = slot;
    }
    return false;
}

/* ---- jit_regs.c: where registers are ---------------------------------------------------------------------------- */

/* True when helper `number` takes arguments at all. */
bool jit_helper_has_arguments(int32_t number);
/* The register that holds BPF register r; r10 is computed into `scratch`. */
uint32_t jit_use(struct jit *j, uint32_t r, uint32_t scratch);
/* The register that BPF register r is to be written to by an instruction whose successor is slot `next`. Call it once
 * a slot, after every jit_use(), and write what it names last: it may be x0, which may hold a source. */
uint32_t jit_define(struct jit *j, uint32_t r, uint32_t next);
/* Ends a block before slot `next`: r1 goes home if anything may still want it. */
void jit_leave_block(struct jit *j, uint32_t next);
/* Puts a constant into a register, by whatever is shortest, ADRP included. */
void jit_load_constant(struct jit *j, uint32_t rd, uint64_t value);
/* rd = rn + value, rn possibly SP (sf 1 then). */
void jit_add_constant(struct jit *j, uint32_t sf, uint32_t rd, uint32_t rn, int64_t value);

/* ---- one emitter a group of classes; each returns the slots it took, 0 on error ---------------------------------- */

uint32_t jit_emit_alu(struct jit *j, uint32_t i); /* jit_alu.c */
uint32_t jit_emit_load(struct jit *j, uint32_t i); /* jit_memory.c */
uint32_t jit_emit_store(struct jit *j, uint32_t i);
uint32_t jit_emit_atomic(struct jit *j, uint32_t i); /* jit_atomic.c */
uint32_t jit_emit_jump(struct jit *j, uint32_t i); /* jit_jump.c */

/* Shared by jit_arm64.c and jit_jump.c. */
void jit_emit_epilogue(struct jit *j);
/* Points the branches chained from `chain` (1 + word index of the last one) at the next word to be emitted. */
bool jit_bind_chain(struct jit *j, uint32_t chain);
/* Words that jit_emit_epilogue() emits. */
uint32_t jit_epilogue_words(const struct jit *j);

#endif
