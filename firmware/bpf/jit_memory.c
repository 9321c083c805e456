/* Loads, stores and 64-bit constants (RFC 9669 sections 5.1, 5.2, 5.4).
 *
 * A64 has three ways to address memory with an offset (C1.3.3): unsigned multiples of the size, 9 signed bits of
 * bytes, and a register. Neighbouring words go as pairs. */
#include "jit_arm64.h"

static uint32_t log2_size(uint8_t code)
{
    switch (BPF_SIZE(code)) {
    case BPF_B: return 0;
    case BPF_H: return 1;
    case BPF_W: return 2;
    default: return 3;
    }
}

/* Base and offset of an access through BPF register r: r10 is SP plus the frame. */
static uint32_t address(struct jit *j, uint32_t r, int32_t off, int32_t *offset)
{
    if (r == BPF_FP) {
        *offset = off + (int32_t)j->frame;
        return A64_SP;
    }
    *offset = off;
    return jit_use(j, r, T0);
}

static void access(struct jit *j, uint32_t size, enum a64_opc opc, uint32_t rt, uint32_t rn, int32_t offset)
{
    int32_t units = offset >> size;
    if (offset >= 0 && units < 4096 && (units << size) == offset) {
        jit_emit(j, a64_ldst_uimm(size, opc, rt, rn, (uint32_t)units));
    } else if (offset >= -256 && offset < 256) {
        jit_emit(j, a64_ldst_simm(size, opc, rt, rn, offset));
    } else {
        jit_load_constant(j, T1, (uint64_t)(int64_t)offset);
        jit_emit(j, a64_ldst_reg(size, opc, rt, rn, T1));
    }
}

/* Whether slots i and i + 1 access neighbours through the same base, and so can be one LDP or STP: W or X registers,
 * offsets within 7 signed bits of units. *first is the unit of the lower one; *swapped, that it is slot i + 1's. */
static bool is_pair(const struct jit *j, uint32_t i, uint32_t size, uint32_t base, int32_t offset,
                    int32_t *first, bool *swapped)
{
    const struct bpf_insn *insn = &j->insns[i], *next = insn + 1;
    if (size < 2 || !jit_continues(j, i + 1) || next->code != insn->code)
        return false;
    bool load = BPF_CLASS(insn->code) == BPF_LDX;
    uint32_t next_base = load ? bpf_src(next) : bpf_dst(next);
    int32_t step = next->off - insn->off, unit = 1 << size;
    if (next_base != base || (step != unit && step != -unit))
        return false;
    *swapped = step < 0;
    int32_t low = *swapped ? offset - unit : offset;
    if (low % unit != 0 || low < -64 * unit || low > 63 * unit)
        return false;
    *first = low / unit;
    return true;
}

uint32_t jit_emit_load(struct jit *j, uint32_t i)
{
    const struct bpf_insn *insn = &j->insns[i];
    uint32_t mode = BPF_MODE(insn->code), dst = bpf_dst(insn), base = bpf_src(insn);
    if (BPF_CLASS(insn->code) == BPF_LD) {
        if (insn->code != BPF_LDDW || bpf_src(insn) > BPF_LDDW_MAP_VALUE) {
            jit_fail(j, i, "only 64-bit constants and map references are loaded by class LD");
            return 0;
        }
        /* The verifier has put addresses into map references, whatever their src. */
        jit_load_constant(j, jit_define(j, dst, i + 2), bpf_lddw_value(insn));
        return 2;
    }
    uint32_t size = log2_size(insn->code);
    bool extends = mode == BPF_MEMSX && size < 3;
    if (mode != BPF_MEM && !extends) {
        jit_fail(j, i, "no such load");
        return 0;
    }
    int32_t offset, first;
    bool swapped;
    uint32_t rn = address(j, base, insn->off, &offset);
    if (!extends && dst != base && is_pair(j, i, size, base, offset, &first, &swapped)) {
        uint32_t dst2 = bpf_dst(insn + 1);
        /* r0 and r1 may trade places in x0: leave those two to single loads */
        if (dst2 != dst && dst2 != BPF_FP && dst > BPF_R1 && dst2 > BPF_R1) {
            uint32_t rt = jit_define(j, dst, i + 1), rt2 = jit_define(j, dst2, i + 2);
            jit_emit(j, a64_pair(A64_PAIR_OFFSET, size == 3, true, swapped ? rt2 : rt, swapped ? rt : rt2, rn,
                                 first));
            j->width[dst] = j->width[dst2] = size == 3 ? 64 : 32;
            return 2;
        }
    }
    access(j, size, extends ? A64_LDRS : A64_LDR, jit_define(j, dst, i + 1), rn, offset);
    j->width[dst] = extends ? 64 : (uint8_t)(8u << size);
    return 1;
}

/* The register that a store takes its value from. */
static uint32_t stored(struct jit *j, const struct bpf_insn *insn, uint32_t scratch)
{
    if (BPF_CLASS(insn->code) == BPF_STX)
        return jit_use(j, bpf_src(insn), scratch);
    if (insn->imm == 0)
        return A64_ZR;
    uint64_t value = (uint64_t)(int64_t)insn->imm;
    if (BPF_SIZE(insn->code) != BPF_DW)
        value &= ~0ull >> (64 - 8 * bpf_access_size(insn->code));
    jit_load_constant(j, scratch, value);
    return scratch;
}

uint32_t jit_emit_store(struct jit *j, uint32_t i)
{
    const struct bpf_insn *insn = &j->insns[i];
    if (BPF_MODE(insn->code) == BPF_ATOMIC && BPF_CLASS(insn->code) == BPF_STX)
        return jit_emit_atomic(j, i);
    if (BPF_MODE(insn->code) != BPF_MEM) {
        jit_fail(j, i, "no such store");
        return 0;
    }
    uint32_t size = log2_size(insn->code);
    int32_t offset, first;
    bool swapped;
    uint32_t rn = address(j, bpf_dst(insn), insn->off, &offset);
    uint32_t rt = stored(j, insn, T2);
    if (is_pair(j, i, size, bpf_dst(insn), offset, &first, &swapped)) {
        bool same = BPF_CLASS(insn->code) == BPF_ST && insn[1].imm == insn->imm;
        uint32_t rt2 = same ? rt : stored(j, insn + 1, T3);
        jit_emit(j, a64_pair(A64_PAIR_OFFSET, size == 3, false, swapped ? rt2 : rt, swapped ? rt : rt2, rn,
                             first));
        return 2;
    }
    access(j, size, A64_STR, rt, rn, offset);
    return 1;
}
