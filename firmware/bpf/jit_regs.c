/* Where BPF registers live, and constants on their way into registers.
 *
 * r1 is the one register with two places. AAPCS64 passes the first argument and the result in the same x0, BPF in r1
 * and r0. A program's r1 is therefore left in x0 until something writes r0, and r1 is computed straight into x0 when
 * nothing touches r0 before the next helper call. Both look ahead within the block, no further. */
#include "jit_arm64.h"

#define LOOK_AHEAD 16u

bool jit_helper_has_arguments(int32_t number)
{
#define DIFFERS(argumentless) &&number != (argumentless)
    return true BPF_HELPERS_WITHOUT_ARGUMENTS(DIFFERS);
#undef DIFFERS
}

static bool is_alu(uint32_t class)
{
    return class == BPF_ALU || class == BPF_ALU64;
}

static bool reads_src(const struct bpf_insn *insn)
{
    uint32_t class = BPF_CLASS(insn->code);
    if (is_alu(class))
        return (insn->code & BPF_X) && BPF_OP(insn->code) != BPF_END;
    return class == BPF_LDX || class == BPF_STX;
}

/* Whether an instruction that is not a jump reads register r. */
static bool reads(const struct bpf_insn *insn, uint32_t r)
{
    if (reads_src(insn) && bpf_src(insn) == r)
        return true;
    switch (BPF_CLASS(insn->code)) {
    case BPF_ALU:
    case BPF_ALU64: return bpf_dst(insn) == r && BPF_OP(insn->code) != BPF_MOV;
    case BPF_ST: return bpf_dst(insn) == r;
    case BPF_STX: return bpf_dst(insn) == r || (r == 0 && BPF_MODE(insn->code) == BPF_ATOMIC);
    default: return false;
    }
}

/* Whether an instruction that is not a jump writes register r, whatever it was. */
static bool writes(const struct bpf_insn *insn, uint32_t r)
{
    switch (BPF_CLASS(insn->code)) {
    case BPF_ALU:
    case BPF_ALU64:
    case BPF_LD:
    case BPF_LDX: return bpf_dst(insn) == r;
    case BPF_STX: return BPF_MODE(insn->code) == BPF_ATOMIC && (bpf_src(insn) == r || r == 0);
    default: return false;
    }
}

static bool is_jump(const struct bpf_insn *insn)
{
    uint32_t class = BPF_CLASS(insn->code);
    return class == BPF_JMP || class == BPF_JMP32;
}

static bool jump_reads(const struct bpf_insn *insn, uint32_t r)
{
    if (BPF_OP(insn->code) == BPF_JA)
        return false;
    return bpf_dst(insn) == r || ((insn->code & BPF_X) && bpf_src(insn) == r);
}

static uint32_t length(const struct bpf_insn *insn)
{
    return BPF_CLASS(insn->code) == BPF_LD ? 2 : 1;
}

/* Whether r1, written just before slot i, next matters to a helper call, with r0 untouched until then. */
static bool is_for_helper(const struct jit *j, uint32_t i)
{
    if (!j->calls)
        return false;
    for (uint32_t n = 0; n < LOOK_AHEAD && jit_continues(j, i); n++) {
        const struct bpf_insn *insn = &j->insns[i];
        if (is_jump(insn)) {
            return insn->code == (BPF_JMP | BPF_CALL) && bpf_src(insn) == BPF_CALL_HELPER &&
                   jit_helper_has_arguments(insn->imm);
        }
        if (reads(insn, 0) || writes(insn, 0))
            return false;
        i += length(insn);
    }
    return false;
}

/* Whether a jump, call or exit reads r1. */
static bool jump_wants(const struct bpf_insn *insn)
{
    if (bpf_is_exit(insn))
        return false;
    if (bpf_is_call(insn))
        return bpf_src(insn) == BPF_CALL_LOCAL || jit_helper_has_arguments(insn->imm);
    return jump_reads(insn, 1);
}

/* Whether a block of the function from slot i on may read the r1 of before slot i. Where a jump goes back, it may enter
 * between a definition and its use: then any reader will do. */
static bool is_exposed(const struct jit *j, uint32_t i)
{
    bool defined = false, read = false, back = false;
    for (; i < j->func_end; i += length(&j->insns[i])) {
        const struct bpf_insn *insn = &j->insns[i];
        bool jump = is_jump(insn);
        if (jit_is_target(j, i))
            defined = false;
        bool wants = jump ? jump_wants(insn) : reads(insn, 1);
        if (wants && !defined)
            return true;
        read |= wants;
        if (bpf_is_ja(insn) || bpf_is_branch(insn))
            back |= bpf_jump_target(insn, i) <= (int64_t)i;
        /* after a call r1 is unreadable, which comes to the same as written */
        defined |= jump ? bpf_is_call(insn) : writes(insn, 1);
    }
    return read && back;
}

/* Whether the r1 of before slot i is never read again. */
static bool is_dead(const struct jit *j, uint32_t i)
{
    for (uint32_t n = 0; n < LOOK_AHEAD; n++) {
        if (!jit_continues(j, i))
            return !is_exposed(j, i);
        const struct bpf_insn *insn = &j->insns[i];
        if (is_jump(insn)) {
            uint32_t op = BPF_OP(insn->code);
            if (op == BPF_EXIT)
                return true;
            if (op == BPF_CALL)
                return bpf_src(insn) == BPF_CALL_HELPER && !jit_helper_has_arguments(insn->imm);
            return !jump_reads(insn, 1) && !is_exposed(j, i);
        }
        if (reads(insn, 1))
            return false;
        if (writes(insn, 1))
            return true;
        i += length(insn);
    }
    return false;
}

uint32_t jit_use(struct jit *j, uint32_t r, uint32_t scratch)
{
    if (r == 10) {
        jit_emit(j, a64_rri(A64_ADDI, 1, scratch, A64_SP, j->frame, 0));
        return scratch;
    }
    return r == 1 && j->r1_in_x0 ? 0 : j->reg[r];
}

uint32_t jit_define(struct jit *j, uint32_t r, uint32_t next)
{
    j->width[r] = 64;
    if (r == 1) {
        j->r1_in_x0 = is_for_helper(j, next);
        return j->r1_in_x0 ? 0 : j->reg[1];
    }
    if (r == 0 && j->r1_in_x0) {
        if (!is_dead(j, next))
            jit_emit(j, a64_mov(1, j->reg[1], 0));
        j->r1_in_x0 = false;
    }
    return j->reg[r];
}

void jit_leave_block(struct jit *j, uint32_t next)
{
    if (!j->r1_in_x0)
        return;
    if (is_exposed(j, next))
        jit_emit(j, a64_mov(1, j->reg[1], 0));
    j->r1_in_x0 = false;
}

void jit_load_constant(struct jit *j, uint32_t rd, uint64_t value)
{
    uint32_t words[4];
    uint32_t count = a64_mov_imm(words, rd, value);
    if (count > 1) {
        uint64_t pc = j->code_va + 4ull * j->words;
        int64_t pages = (int64_t)(value >> 12) - (int64_t)(pc >> 12);
        uint32_t low = (uint32_t)value & 0xfffu;
        /* Not in a page's last two words: Cortex-A53 erratum 843419, for an ADRP there whose register is the base of a
         * load or store two or three instructions on. */
        bool late = (pc & 0xfffu) >= 0xff8u;
        if (!late && pages >= -(1 << 20) && pages < 1 << 20 && count > (low ? 2u : 1u)) {
            jit_emit(j, a64_adrp(rd, pages));
            if (low)
                jit_emit(j, a64_rri(A64_ADDI, 1, rd, rd, low, 0));
            return;
        }
    }
    for (uint32_t n = 0; n < count; n++)
        jit_emit(j, words[n]);
}

void jit_add_constant(struct jit *j, uint32_t sf, uint32_t rd, uint32_t rn, int64_t value)
{
    bool negative = value < 0;
    uint64_t size = negative ? 0 - (uint64_t)value : (uint64_t)value;
    enum a64_rri op = negative ? A64_SUBI : A64_ADDI;
    if (size < 1u << 24) {
        uint32_t low = (uint32_t)size & 0xfffu;
        uint32_t high = (uint32_t)(size >> 12);
        if (high) {
            jit_emit(j, a64_rri(op, sf, rd, rn, high, 1));
            rn = rd;
        }
        if (low || !high)
            jit_emit(j, a64_rri(op, sf, rd, rn, low, 0));
        return;
    }
    jit_load_constant(j, T0, sf ? (uint64_t)value : (uint64_t)value & 0xffffffffu);
    jit_emit(j, a64_rrr(A64_ADD, sf, rd, rn, T0));
}
