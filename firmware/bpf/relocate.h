/* Relocation: what an lddw refers to becomes an address. The verifier and live/ both do it here. */
#ifndef ASSAY_BPF_RELOCATE_H
#define ASSAY_BPF_RELOCATE_H

#include "insn.h"

/* True for the first of two slots that refer to one of `map_count` maps, or to a value of it. */
static inline bool bpf_refers_to_map(const struct bpf_insn *insn, uint32_t map_count)
{
    uint32_t kind = bpf_src(insn);
    return bpf_is_lddw(insn) && (kind == BPF_LDDW_MAP || kind == BPF_LDDW_MAP_VALUE) &&
           (uint32_t)insn->imm < map_count;
}

/*
 * Writes the address of what the two slots at `from` refer to (bpf_refers_to_map) into those at `to`, which may be the
 * same. From then on `to` is a plain constant: who binds a program to other maps later keeps `from`.
 */
static inline void bpf_relocate(const struct bpf_insn from[2], struct bpf_map *const *maps,
                                struct bpf_insn to[2])
{
    struct bpf_map *map = maps[from->imm];
    uint64_t address = (uint64_t)(uintptr_t)map;
    if (bpf_src(from) == BPF_LDDW_MAP_VALUE)
        address = (uint64_t)(uintptr_t)bpf_map_values(map) + (uint32_t)from[1].imm;
    to[0].regs = from[0].regs & 0xfu;
    to[0].imm = (int32_t)(uint32_t)address;
    to[1].imm = (int32_t)(uint32_t)(address >> 32);
}

#endif
