/* The instruction set's field values, under the names of RFC 9669 and of Linux's uapi. */
#ifndef ASSAY_BPF_INSN_H
#define ASSAY_BPF_INSN_H

#include "bpf.h"

/* Instruction classes, RFC 9669 section 3. */
#define BPF_CLASS(code) ((code) & 0x07u)
#define BPF_LD          0x00u
#define BPF_LDX         0x01u
#define BPF_ST          0x02u
#define BPF_STX         0x03u
#define BPF_ALU         0x04u
#define BPF_JMP         0x05u
#define BPF_JMP32       0x06u
#define BPF_ALU64       0x07u

/* Arithmetic and jumps: operation in bits 7:4, source operand in bit 3, RFC 9669 section 4. */
#define BPF_OP(code)  ((code) & 0xf0u)
#define BPF_SRC(code) ((code) & 0x08u)
#define BPF_K         0x00u /* the operand is the immediate */
#define BPF_X         0x08u /* the operand is the source register */

#define BPF_ADD  0x00u
#define BPF_SUB  0x10u
#define BPF_MUL  0x20u
#define BPF_DIV  0x30u /* off 1: signed */
#define BPF_OR   0x40u
#define BPF_AND  0x50u
#define BPF_LSH  0x60u
#define BPF_RSH  0x70u
#define BPF_NEG  0x80u
#define BPF_MOD  0x90u /* off 1: signed */
#define BPF_XOR  0xa0u
#define BPF_MOV  0xb0u /* off 8, 16, 32: sign-extending */
#define BPF_ARSH 0xc0u
#define BPF_END  0xd0u /* class ALU: to little (K) or big (X) endian; class ALU64: swap always */

#define BPF_JA   0x00u /* class JMP: off; class JMP32: imm */
#define BPF_JEQ  0x10u
#define BPF_JGT  0x20u
#define BPF_JGE  0x30u
#define BPF_JSET 0x40u
#define BPF_JNE  0x50u
#define BPF_JSGT 0x60u
#define BPF_JSGE 0x70u
#define BPF_CALL 0x80u
#define BPF_EXIT 0x90u
#define BPF_JLT  0xa0u
#define BPF_JLE  0xb0u
#define BPF_JSLT 0xc0u
#define BPF_JSLE 0xd0u

/* Source register of BPF_CALL, RFC 9669 section 4.3. */
#define BPF_CALL_HELPER 0u
#define BPF_CALL_LOCAL  1u
#define BPF_CALL_BTF    2u

/* Loads and stores: mode in bits 7:5, size in bits 4:3, RFC 9669 section 5. */
#define BPF_MODE(code) ((code) & 0xe0u)
#define BPF_IMM        0x00u
#define BPF_ABS        0x20u
#define BPF_IND        0x40u
#define BPF_MEM        0x60u
#define BPF_MEMSX      0x80u
#define BPF_ATOMIC     0xc0u

#define BPF_SIZE(code) ((code) & 0x18u)
#define BPF_W          0x00u
#define BPF_H          0x08u
#define BPF_B          0x10u
#define BPF_DW         0x18u

#define BPF_LDDW (BPF_LD | BPF_IMM | BPF_DW) /* two slots */

/* Source register of an lddw, RFC 9669 section 5.4. */
#define BPF_LDDW_IMM       0u
#define BPF_LDDW_MAP       1u /* map_by_fd(imm): here, index into the program's maps */
#define BPF_LDDW_MAP_VALUE 2u /* map_val(map_by_fd(imm)) + next_imm */

/* Atomic operations, in imm, RFC 9669 section 5.3. */
#define BPF_FETCH   0x01
#define BPF_XCHG    (0xe0 | BPF_FETCH)
#define BPF_CMPXCHG (0xf0 | BPF_FETCH)

#define BPF_R0        0u
#define BPF_R1        1u
#define BPF_R2        2u
#define BPF_R3        3u
#define BPF_R4        4u
#define BPF_R5        5u
#define BPF_R6        6u
#define BPF_R9        9u
#define BPF_FP        10u /* r10, the read-only frame pointer */
#define BPF_REGISTERS 11u

static inline uint32_t bpf_dst(const struct bpf_insn *insn)
{
    return insn->regs & 0xfu;
}

static inline uint32_t bpf_src(const struct bpf_insn *insn)
{
    return (uint32_t)insn->regs >> 4;
}

/* Bytes that a load or store of this code moves. */
static inline uint32_t bpf_access_size(uint8_t code)
{
    switch (BPF_SIZE(code)) {
    case BPF_B: return 1;
    case BPF_H: return 2;
    case BPF_W: return 4;
    default: return 8;
    }
}

static inline bool bpf_is_lddw(const struct bpf_insn *insn)
{
    return insn->code == BPF_LDDW;
}

/* An unconditional jump, in either of its two encodings. */
static inline bool bpf_is_ja(const struct bpf_insn *insn)
{
    return insn->code == (BPF_JMP | BPF_JA) || insn->code == (BPF_JMP32 | BPF_JA);
}

static inline bool bpf_is_exit(const struct bpf_insn *insn)
{
    return insn->code == (BPF_JMP | BPF_EXIT);
}

static inline bool bpf_is_call(const struct bpf_insn *insn)
{
    return insn->code == (BPF_JMP | BPF_CALL);
}

static inline bool bpf_is_local_call(const struct bpf_insn *insn)
{
    return bpf_is_call(insn) && bpf_src(insn) == BPF_CALL_LOCAL;
}

/* A jump with a condition: it may fall through. */
static inline bool bpf_is_branch(const struct bpf_insn *insn)
{
    uint32_t class = BPF_CLASS(insn->code), op = BPF_OP(insn->code);

    return (class == BPF_JMP || class == BPF_JMP32) && op != BPF_JA && op != BPF_CALL && op != BPF_EXIT;
}

/* Slot that a jump or local call at `slot` goes to; the caller checks that it is inside the program. */
static inline int64_t bpf_jump_target(const struct bpf_insn *insn, uint32_t slot)
{
    int64_t distance = insn->off;

    if (insn->code == (BPF_JMP32 | BPF_JA) || bpf_is_call(insn))
        distance = insn->imm;
    return (int64_t)slot + 1 + distance;
}

/* The 64-bit immediate of an lddw. */
static inline uint64_t bpf_lddw_value(const struct bpf_insn *insn)
{
    return (uint32_t)insn[0].imm | ((uint64_t)(uint32_t)insn[1].imm << 32);
}

#endif
