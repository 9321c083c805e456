/* Atomic operations (RFC 9669 section 5.3) as load/store-exclusive loops (ARM DDI 0487 B2.12): the Cortex-A53 and A72
 * have no LSE.
 *
 * Ordering is Linux's for these operations: those that return the old value are fully ordered (store-release, then
 * DMB ISH), the others are relaxed, and a failed compare-and-exchange orders nothing. Addresses must be aligned, which
 * the verifier sees to. */
#include "jit_arm64.h"

/* LDXR old, [rn]; new = old OP rm; STXR T3, new, [rn]; CBNZ back to LDXR */
static void exclusive_loop(struct jit *j, uint32_t sf, uint32_t op, bool fetch, uint32_t rn, uint32_t rm)
{
    uint32_t top = j->words, new = T2;
    jit_emit(j, a64_ldxr(sf, T1, rn));
    switch (op) {
    case BPF_ADD: jit_emit(j, a64_rrr(A64_ADD, sf, T2, T1, rm)); break;
    case BPF_OR: jit_emit(j, a64_rrr(A64_ORR, sf, T2, T1, rm)); break;
    case BPF_AND: jit_emit(j, a64_rrr(A64_AND, sf, T2, T1, rm)); break;
    case BPF_XOR: jit_emit(j, a64_rrr(A64_EOR, sf, T2, T1, rm)); break;
    default: new = rm; break; /* exchange */
    }
    jit_emit(j, a64_stxr(sf, fetch, T3, new, rn));
    jit_emit(j, a64_cbz(0, true, T3) | ((top - j->words) & 0x7ffffu) << 5);
}

static void compare_exchange(struct jit *j, uint32_t sf, uint32_t rn, uint32_t rm)
{
    uint32_t top = j->words;
    jit_emit(j, a64_ldxr(sf, T1, rn));
    jit_emit(j, a64_rrr(A64_SUBS, sf, A64_ZR, T1, jit_use(j, BPF_R0, T0)));
    jit_emit(j, a64_b_cond(A64_NE) | 4u << 5); /* past the DMB */
    jit_emit(j, a64_stxr(sf, true, T3, rm, rn));
    jit_emit(j, a64_cbz(0, true, T3) | ((top - j->words) & 0x7ffffu) << 5);
    jit_emit(j, a64_dmb_ish());
}

uint32_t jit_emit_atomic(struct jit *j, uint32_t i)
{
    const struct bpf_insn *insn = &j->insns[i];
    uint32_t size = BPF_SIZE(insn->code), op = (uint32_t)insn->imm & 0xf0u, src = bpf_src(insn);
    bool fetch = (insn->imm & BPF_FETCH) != 0, exchange = insn->imm == BPF_XCHG,
         compare = insn->imm == BPF_CMPXCHG;
    bool arithmetic = op == BPF_ADD || op == BPF_OR || op == BPF_AND || op == BPF_XOR;
    if ((size != BPF_W && size != BPF_DW) || (insn->imm & ~0xf1) || !(arithmetic || exchange || compare)) {
        jit_fail(j, i, "no such atomic operation");
        return 0;
    }
    uint32_t sf = size == BPF_DW;
    uint32_t rn = bpf_dst(insn) == BPF_FP ? A64_SP : jit_use(j, bpf_dst(insn), T0);
    int32_t offset = insn->off + (bpf_dst(insn) == BPF_FP ? (int32_t)j->frame : 0);
    if (offset) { /* exclusives take no offset */
        jit_add_constant(j, 1, T0, rn, offset);
        rn = T0;
    }
    uint32_t rm = jit_use(j, src, T_CALL);
    if (compare)
        compare_exchange(j, sf, rn, rm);
    else
        exclusive_loop(j, sf, exchange ? BPF_XCHG : op, fetch, rn, rm);
    if (fetch) {
        if (!compare)
            jit_emit(j, a64_dmb_ish());
        uint32_t result = compare ? BPF_R0 : src;
        jit_emit(j, a64_mov(sf, jit_define(j, result, i + 1), T1));
        j->width[result] = sf ? 64 : 32;
    }
    return 1;
}
