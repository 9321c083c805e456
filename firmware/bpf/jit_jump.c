/* Jumps, calls and exits (RFC 9669 section 4.3), and the labels that branches wait for. */
#include "jit_arm64.h"

/* What a branch can reach, and where its displacement is: B and BL 26 bits, B.cond and CBZ 19, TBZ 14 (C4.1.93). */
static void displacement_field(uint32_t word, uint32_t *shift, uint32_t *bits)
{
    if ((word & 0x7c000000u) == 0x14000000u) {
        *shift = 0;
        *bits = 26;
    } else {
        *shift = 5;
        *bits = (word & 0x7e000000u) == 0x36000000u ? 14 : 19;
    }
}

/* Emits a branch to slot t: to its place if it has one already, or as the newest link of the chain that waits for it.
 * A link holds the distance in words back to the link before it, 0 in the first. */
static bool emit_branch(struct jit *j, uint32_t *label, bool bound, uint32_t mask, uint32_t i, uint32_t word)
{
    uint32_t shift, bits;
    displacement_field(word, &shift, &bits);
    uint32_t here = j->words;
    if (bound) {
        uint32_t back = here - *label;
        if (back > 1u << (bits - 1))
            return jit_fail(j, i, "branch out of range");
        jit_emit(j, word | ((0u - back) & ((1u << bits) - 1)) << shift);
        return true;
    }
    uint32_t last = *label & mask;
    uint32_t distance = last ? here - (last - 1) : 0;
    if (distance >= 1u << bits)
        return jit_fail(j, i, "branch out of range");
    *label = (*label & ~mask) | (here + 1);
    jit_emit(j, word | distance << shift);
    return true;
}

static bool branch_to(struct jit *j, uint32_t i, uint32_t t, uint32_t word)
{
    if (t > i)
        return emit_branch(j, &j->slot[t], false, SLOT_CHAIN, i, word);
    uint32_t label = j->slot[t] / 4;
    return emit_branch(j, &label, true, 0, i, word);
}

bool jit_bind_chain(struct jit *j, uint32_t chain)
{
    while (chain) {
        uint32_t at = chain - 1, word = j->code[at], shift, bits;
        displacement_field(word, &shift, &bits);
        uint32_t mask = (1u << bits) - 1;
        uint32_t back = word >> shift & mask, forward = j->words - at;
        if (forward >= 1u << (bits - 1))
            return false;
        j->code[at] = (word & ~(mask << shift)) | forward << shift;
        chain = back ? chain - back : 0;
    }
    return true;
}

/* Whether a TBZ at this place can reach slot t, or carry the link to it. */
static bool tbz_reaches(const struct jit *j, uint32_t i, uint32_t t)
{
    if (t <= i)
        return j->words + 4 - j->slot[t] / 4 < 8192u;
    uint32_t last = j->slot[t] & SLOT_CHAIN;
    return t - i < JIT_TBZ_SLOTS && (!last || j->words + 4 - last < 16384u);
}

static enum a64_cond condition(uint32_t op)
{
    switch (op) {
    case BPF_JEQ: return A64_EQ;
    case BPF_JNE:
    case BPF_JSET: return A64_NE;
    case BPF_JGT: return A64_HI;
    case BPF_JGE: return A64_HS;
    case BPF_JLT: return A64_LO;
    case BPF_JLE: return A64_LS;
    case BPF_JSGT: return A64_GT;
    case BPF_JSGE: return A64_GE;
    case BPF_JSLT: return A64_LT;
    default: return A64_LE;
    }
}

/* Flags of rn - value: CMP or CMN (immediate) where they can hold it. */
static void compare_constant(struct jit *j, uint32_t sf, uint32_t rn, int64_t value)
{
    uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    enum a64_rri op = value < 0 ? A64_ADDSI : A64_SUBSI;
    if (size < 4096) {
        jit_emit(j, a64_rri(op, sf, A64_ZR, rn, (uint32_t)size, 0));
    } else if ((size & 0xfffu) == 0 && size < 1u << 24) {
        jit_emit(j, a64_rri(op, sf, A64_ZR, rn, (uint32_t)size >> 12, 1));
    } else {
        jit_load_constant(j, T1, sf ? (uint64_t)value : (uint64_t)value & 0xffffffffu);
        jit_emit(j, a64_rrr(A64_SUBS, sf, A64_ZR, rn, T1));
    }
}

/* Flags of rn AND the constant. */
static void test_constant(struct jit *j, uint32_t sf, uint32_t rn, int64_t value)
{
    uint32_t bitmask;
    if (value >= 0)
        sf = 0; /* bits above 31 do not take part */
    if (a64_bitmask((uint64_t)value, sf, &bitmask)) {
        jit_emit(j, a64_logical(A64_ANDSI, sf, A64_ZR, rn, bitmask));
    } else {
        jit_load_constant(j, T1, sf ? (uint64_t)value : (uint64_t)value & 0xffffffffu);
        jit_emit(j, a64_rrr(A64_ANDS, sf, A64_ZR, rn, T1));
    }
}

/* A jump on a constant that needs no flags: CBZ, CBNZ, TBZ, TBNZ. Gives its word, or 0 where there is none. */
static uint32_t flagless(const struct jit *j, uint32_t i, uint32_t t, uint32_t sf, uint32_t rn, uint32_t op,
                         int32_t imm)
{
    uint32_t top = sf ? 63 : 31;
    bool near = tbz_reaches(j, i, t);
    if ((op == BPF_JEQ && imm == 0) || (op == BPF_JLE && imm == 0) || (op == BPF_JLT && imm == 1))
        return a64_cbz(sf, false, rn);
    if ((op == BPF_JNE && imm == 0) || (op == BPF_JGT && imm == 0) || (op == BPF_JGE && imm == 1))
        return a64_cbz(sf, true, rn);
    if (near && ((op == BPF_JSLT && imm == 0) || (op == BPF_JSLE && imm == -1)))
        return a64_tbz(true, rn, top);
    if (near && ((op == BPF_JSGE && imm == 0) || (op == BPF_JSGT && imm == -1)))
        return a64_tbz(false, rn, top);
    uint64_t mask = sf ? (uint64_t)(int64_t)imm : (uint32_t)imm;
    if (near && op == BPF_JSET && mask && (mask & (mask - 1)) == 0)
        return a64_tbz(true, rn, (uint32_t)__builtin_ctzll(mask));
    return 0;
}

static uint32_t emit_conditional(struct jit *j, uint32_t i, uint32_t t)
{
    const struct bpf_insn *insn = &j->insns[i];
    uint32_t op = BPF_OP(insn->code), sf = BPF_CLASS(insn->code) == BPF_JMP;
    uint32_t rn = jit_use(j, bpf_dst(insn), T0), word = 0;
    if (BPF_SRC(insn->code) == BPF_X) {
        uint32_t rm = jit_use(j, bpf_src(insn), T1);
        jit_leave_block(j, i + 1);
        jit_emit(j, a64_rrr(op == BPF_JSET ? A64_ANDS : A64_SUBS, sf, A64_ZR, rn, rm));
    } else {
        jit_leave_block(j, i + 1);
        word = flagless(j, i, t, sf, rn, op, insn->imm);
        if (!word && op == BPF_JSET)
            test_constant(j, sf, rn, insn->imm);
        else if (!word)
            compare_constant(j, sf, rn, insn->imm);
    }
    return branch_to(j, i, t, word ? word : a64_b_cond(condition(op))) ? 1 : 0;
}

static uint32_t emit_call(struct jit *j, uint32_t i)
{
    const struct bpf_insn *insn = &j->insns[i];
    if (bpf_src(insn) == BPF_CALL_HELPER) {
        bpf_helper_fn helper = bpf_helper_address(insn->imm);
        if (helper == NULL) {
            jit_fail(j, i, "the kernel has no helper of this number");
            return 0;
        }
        if (jit_helper_has_arguments(insn->imm) && !j->r1_in_x0)
            jit_emit(j, a64_mov(1, 0, j->reg[BPF_R1]));
        uint64_t target = (uint64_t)(uintptr_t)helper;
        int64_t words = (int64_t)(target - (j->code_va + 4ull * j->words)) >> 2;
        if (words >= -(1 << 25) && words < 1 << 25) {
            jit_emit(j, a64_b(true, (int32_t)words));
        } else {
            jit_load_constant(j, T_CALL, target);
            jit_emit(j, a64_blr(T_CALL));
        }
    } else if (bpf_src(insn) == BPF_CALL_LOCAL) {
        if (j->r1_in_x0)
            jit_emit(j, a64_mov(1, j->reg[BPF_R1], 0));
        int64_t start = bpf_jump_target(insn, i);
        struct jit_func *func = j->funcs;
        while ((int64_t)func->start != start) /* note_function() has put it there */
            func++;
        uint32_t entry = func->entry - 1;
        bool done = func->entry ? emit_branch(j, &entry, true, 0, i, a64_b(true, 0))
                                : emit_branch(j, &func->chain, false, ~0u, i, a64_b(true, 0));
        if (!done)
            return 0;
    } else {
        jit_fail(j, i, "only helpers and local functions can be called");
        return 0;
    }
    j->r1_in_x0 = false;
    j->width[BPF_R0] = 64;
    return 1;
}

uint32_t jit_emit_jump(struct jit *j, uint32_t i)
{
    const struct bpf_insn *insn = &j->insns[i];
    if (bpf_is_call(insn))
        return emit_call(j, i);
    if (bpf_is_exit(insn)) {
        jit_emit_epilogue(j);
        return 1;
    }
    bool always = bpf_is_ja(insn);
    if (!always && (!bpf_is_branch(insn) || BPF_OP(insn->code) > BPF_JSLE)) {
        jit_fail(j, i, "no such jump");
        return 0;
    }
    uint32_t t = (uint32_t)bpf_jump_target(insn, i); /* within the function: note_jump() has looked */
    bool to_next = t == i + 1;
    if (!always && jit_reached(j, t) && !to_next && jit_reached(j, i + 1))
        return emit_conditional(j, i, t);
    /* What is left goes one way only: the verifier has found the other one impossible, or there is no other. */
    jit_leave_block(j, i + 1);
    if (to_next || (!always && !jit_reached(j, t)))
        return 1;
    if (bpf_is_exit(&j->insns[t]) && jit_epilogue_words(j) <= 2) {
        jit_emit_epilogue(j);
        return 1;
    }
    return branch_to(j, i, t, a64_b(false, 0)) ? 1 : 0;
}
