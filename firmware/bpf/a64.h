/* A64 instruction encoders, named as in ARM DDI 0487 chapter C6; one function an encoding class of section C4.1.
 *
 * Pure functions of their fields: nothing here checks a range, the caller has. `sf` is 1 for X registers, 0 for W.
 * Only what the eBPF JIT emits is here; register 31 is SP or ZR as the class has it. */
#ifndef ASSAY_BPF_A64_H
#define ASSAY_BPF_A64_H

#include <stdbool.h>
#include <stdint.h>

enum { A64_FP = 29u, A64_LR = 30u, A64_SP = 31u, A64_ZR = 31u };

/* C1.2.4: condition codes. */
enum a64_cond {
    A64_EQ = 0,
    A64_NE = 1,
    A64_HS = 2,
    A64_LO = 3,
    A64_HI = 8,
    A64_LS = 9,
    A64_GE = 10,
    A64_LT = 11,
    A64_GT = 12,
    A64_LE = 13,
};

/* C4.1.95 data-processing, register: logical and add/subtract (shifted register), two-source, three-source. */
enum a64_rrr {
    A64_AND = 0x0a000000,
    A64_ORR = 0x2a000000,
    A64_EOR = 0x4a000000,
    A64_ANDS = 0x6a000000,
    A64_ORN = 0x2a200000,
    A64_ADD = 0x0b000000,
    A64_SUB = 0x4b000000,
    A64_SUBS = 0x6b000000,
    A64_UDIV = 0x1ac00800,
    A64_SDIV = 0x1ac00c00,
    A64_LSLV = 0x1ac02000,
    A64_LSRV = 0x1ac02400,
    A64_ASRV = 0x1ac02800,
    A64_MADD = 0x1b000000,
    A64_MSUB = 0x1b008000,
};

static inline uint32_t a64_rrr(enum a64_rrr op, uint32_t sf, uint32_t rd, uint32_t rn, uint32_t rm)
{
    return (uint32_t)op | sf << 31 | rm << 16 | rn << 5 | rd;
}

/* As a64_rrr, for the shifted-register classes with LSL #amount on rm. */
static inline uint32_t a64_rrr_lsl(enum a64_rrr op, uint32_t sf, uint32_t rd, uint32_t rn, uint32_t rm,
                                   uint32_t amount)
{
    return a64_rrr(op, sf, rd, rn, rm) | amount << 10;
}

/* MADD, MSUB: ra + rn * rm, ra - rn * rm. */
static inline uint32_t a64_rrrr(enum a64_rrr op, uint32_t sf, uint32_t rd, uint32_t rn, uint32_t rm,
                                uint32_t ra)
{
    return a64_rrr(op, sf, rd, rn, rm) | ra << 10;
}

/* MOV (register) is ORR rd, zr, rm (C6.2.219). */
static inline uint32_t a64_mov(uint32_t sf, uint32_t rd, uint32_t rm)
{
    return a64_rrr(A64_ORR, sf, rd, A64_ZR, rm);
}

/* REV16 and REV within W, REV within X (C4.1.95, one source). */
static inline uint32_t a64_rev16(uint32_t rd, uint32_t rn)
{
    return 0x5ac00400u | rn << 5 | rd;
}

static inline uint32_t a64_rev(uint32_t sf, uint32_t rd, uint32_t rn)
{
    return (sf ? 0xdac00c00u : 0x5ac00800u) | rn << 5 | rd;
}

/* C4.1.92 data-processing, immediate: add/subtract with a 12-bit immediate, optionally LSL #12. */
enum a64_rri { A64_ADDI = 0x11000000, A64_SUBI = 0x51000000, A64_ADDSI = 0x31000000, A64_SUBSI = 0x71000000 };

static inline uint32_t a64_rri(enum a64_rri op, uint32_t sf, uint32_t rd, uint32_t rn, uint32_t imm12,
                               uint32_t sh)
{
    return (uint32_t)op | sf << 31 | sh << 22 | imm12 << 10 | rn << 5 | rd;
}

/* Logical (immediate); `bitmask` is N:immr:imms, 13 bits, from a64_bitmask(). */
enum a64_logical {
    A64_ANDI = 0x12000000,
    A64_ORRI = 0x32000000,
    A64_EORI = 0x52000000,
    A64_ANDSI = 0x72000000
};

static inline uint32_t a64_logical(enum a64_logical op, uint32_t sf, uint32_t rd, uint32_t rn,
                                   uint32_t bitmask)
{
    return (uint32_t)op | sf << 31 | bitmask << 10 | rn << 5 | rd;
}

/* Move wide (immediate): hw counts halfwords. */
enum a64_wide { A64_MOVN = 0x12800000, A64_MOVZ = 0x52800000, A64_MOVK = 0x72800000 };

static inline uint32_t a64_wide(enum a64_wide op, uint32_t sf, uint32_t rd, uint32_t imm16, uint32_t hw)
{
    return (uint32_t)op | sf << 31 | hw << 21 | imm16 << 5 | rd;
}

/* Bitfield: SBFM and UBFM, of which the shifts, extensions and extracts are aliases. */
enum a64_bitfield { A64_SBFM = 0x13000000, A64_UBFM = 0x53000000 };

static inline uint32_t a64_bitfield(enum a64_bitfield op, uint32_t sf, uint32_t rd, uint32_t rn,
                                    uint32_t immr, uint32_t imms)
{
    return (uint32_t)op | sf << 31 | sf << 22 | immr << 16 | imms << 10 | rn << 5 | rd;
}

/* ADRP: `pages` from the page of the instruction, within 21 signed bits. */
static inline uint32_t a64_adrp(uint32_t rd, int64_t pages)
{
    uint32_t p = (uint32_t)(uint64_t)pages;
    return 0x90000000u | (p & 3u) << 29 | (p >> 2 & 0x7ffffu) << 5 | rd;
}

/* C4.1.94 loads and stores. `size`: log2 of the bytes. opc: what moves. */
enum a64_opc { A64_STR = 0, A64_LDR = 1, A64_LDRS = 2 };

/* Unsigned offset: imm12 counts units of the size. */
static inline uint32_t a64_ldst_uimm(uint32_t size, enum a64_opc opc, uint32_t rt, uint32_t rn,
                                     uint32_t imm12)
{
    return 0x39000000u | size << 30 | (uint32_t)opc << 22 | imm12 << 10 | rn << 5 | rt;
}

/* Unscaled offset (LDUR, STUR): bytes, 9 signed bits. */
static inline uint32_t a64_ldst_simm(uint32_t size, enum a64_opc opc, uint32_t rt, uint32_t rn, int32_t bytes)
{
    return 0x38000000u | size << 30 | (uint32_t)opc << 22 | ((uint32_t)bytes & 0x1ffu) << 12 | rn << 5 | rt;
}

/* Register offset: [rn, rm]. */
static inline uint32_t a64_ldst_reg(uint32_t size, enum a64_opc opc, uint32_t rt, uint32_t rn, uint32_t rm)
{
    return 0x38206800u | size << 30 | (uint32_t)opc << 22 | rm << 16 | rn << 5 | rt;
}

/* Pairs: imm7 counts units of the register size (signed). */
enum a64_pair { A64_PAIR_POST = 0x28800000, A64_PAIR_OFFSET = 0x29000000, A64_PAIR_PRE = 0x29800000 };

static inline uint32_t a64_pair(enum a64_pair mode, uint32_t sf, bool load, uint32_t rt, uint32_t rt2,
                                uint32_t rn, int32_t units)
{
    return (uint32_t)mode | sf << 31 | (load ? 1u << 22 : 0u) | ((uint32_t)units & 0x7fu) << 15 | rt2 << 10 |
           rn << 5 | rt;
}

/* Load/store exclusive (C6.2.170 LDXR, C6.2.375 STXR, C6.2.371 STLXR); `rs` receives 0 when the store was done. */
static inline uint32_t a64_ldxr(uint32_t sf, uint32_t rt, uint32_t rn)
{
    return 0x885f7c00u | sf << 30 | rn << 5 | rt;
}

static inline uint32_t a64_stxr(uint32_t sf, bool release, uint32_t rs, uint32_t rt, uint32_t rn)
{
    return 0x88007c00u | sf << 30 | (release ? 1u << 15 : 0u) | rs << 16 | rn << 5 | rt;
}

static inline uint32_t a64_dmb_ish(void)
{
    return 0xd5033bbfu;
}

/* C4.1.93 branches. Displacements are words, left at 0 where a label is bound later. */
static inline uint32_t a64_b(bool link, int32_t words)
{
    return (link ? 0x94000000u : 0x14000000u) | ((uint32_t)words & 0x3ffffffu);
}

static inline uint32_t a64_b_cond(enum a64_cond cond)
{
    return 0x54000000u | (uint32_t)cond;
}

static inline uint32_t a64_cbz(uint32_t sf, bool nonzero, uint32_t rt)
{
    return (nonzero ? 0x35000000u : 0x34000000u) | sf << 31 | rt;
}

static inline uint32_t a64_tbz(bool nonzero, uint32_t rt, uint32_t bit)
{
    return (nonzero ? 0x37000000u : 0x36000000u) | (bit >> 5) << 31 | (bit & 31u) << 19 | rt;
}

static inline uint32_t a64_ret(void)
{
    return 0xd65f03c0u;
}

static inline uint32_t a64_blr(uint32_t rn)
{
    return 0xd63f0000u | rn << 5;
}

/* ---- a64_imm.c ------------------------------------------------------------------------------------------------- */

/* Encodes `value` as the bitmask immediate of the logical class (DecodeBitMasks, shared/functions/integer): N:immr:imms
 * in *bitmask. For sf 0 the low 32 bits count. False where the value is none, 0 and all ones among them. */
bool a64_bitmask(uint64_t value, uint32_t sf, uint32_t *bitmask);

/* The shortest sequence of MOVZ/MOVN/MOVK, or one ORR (immediate), that puts `value` into X<rd>: 1 to 4 words. */
uint32_t a64_mov_imm(uint32_t out[static 4], uint32_t rd, uint64_t value);

#endif
