/* The interpreter: follows RFC 9669 literally, and checks every access against the memory that the program may use. */
#include "interp.h"

#include <string.h>

#include "alu.h"
#include "helpers.h"
#include "map.h"

#define STACK_WORDS (BPF_STACK_SIZE / 8)
#define MAX_REGIONS 2u

struct frame {
    uint64_t stack[STACK_WORDS];
    uint64_t saved[4]; /* the caller's r6 to r9 */
    uint32_t return_slot;
};

struct machine {
    const struct bpf_prog *prog;
    struct bpf_run *out;
    uint64_t regs[BPF_REGISTERS];
    struct bpf_region regions[MAX_REGIONS];
    uint32_t region_count, depth;
    uint8_t fill;
    struct frame frames[BPF_MAX_CALL_DEPTH];
};

static uint64_t address_of(const void *pointer)
{
    return (uint64_t)(uintptr_t)pointer;
}

static bool inside(uint64_t address, uint32_t size, uint64_t base, uint64_t length)
{
    return address >= base && address - base <= length && length - (address - base) >= size;
}

/* True when the program may read (or write) `size` bytes there; says where it failed otherwise. */
static bool allowed(struct machine *machine, uint64_t address, uint32_t size, bool write)
{
    for (uint32_t i = 0; i <= machine->depth; i++) {
        if (inside(address, size, address_of(machine->frames[i].stack), BPF_STACK_SIZE))
            return true;
    }
    for (uint32_t i = 0; i < machine->region_count; i++) {
        const struct bpf_region *region = &machine->regions[i];

        if (inside(address, size, region->base, region->size) && (region->writable || !write))
            return true;
    }
    for (uint32_t i = 0; i < machine->prog->map_count; i++) {
        const struct bpf_map *map = machine->prog->maps[i];

        if (bpf_map_holds(map, address, size) && !(write && bpf_map_is_frozen(map)))
            return true;
    }
    machine->out->end = BPF_RUN_OUT_OF_BOUNDS;
    machine->out->address = address;
    return false;
}

static uint64_t load(uint64_t address, uint32_t size)
{
    const void *at = (const void *)(uintptr_t)address;
    uint64_t value = 0;

    switch (size) { /* memcpy: little-endian, and may be unaligned */
    case 1: memcpy(&value, at, 1); break;
    case 2: memcpy(&value, at, 2); break;
    case 4: memcpy(&value, at, 4); break;
    default: memcpy(&value, at, 8); break;
    }
    return value;
}

static void store(uint64_t address, uint32_t size, uint64_t value)
{
    void *at = (void *)(uintptr_t)address;

    switch (size) {
    case 1: memcpy(at, &value, 1); break;
    case 2: memcpy(at, &value, 2); break;
    case 4: memcpy(at, &value, 4); break;
    default: memcpy(at, &value, 8); break;
    }
}

static bool stop(struct machine *machine, enum bpf_interp_end end)
{
    machine->out->end = end;
    return false;
}

static bool alu(struct machine *machine, const struct bpf_insn *insn)
{
    uint32_t op = BPF_OP(insn->code);
    uint64_t *dst = &machine->regs[bpf_dst(insn)];
    uint64_t operand = (uint64_t)(int64_t)insn->imm;

    if (bpf_dst(insn) == BPF_FP || op > BPF_END)
        return stop(machine, BPF_RUN_BAD_INSN);
    if (op == BPF_END) {
        bool to_little = BPF_CLASS(insn->code) == BPF_ALU && BPF_SRC(insn->code) == BPF_K;

        *dst = bpf_swap(*dst, insn->imm, to_little);
        return true;
    }
    if (BPF_SRC(insn->code) == BPF_X)
        operand = machine->regs[bpf_src(insn)];
    *dst = BPF_CLASS(insn->code) == BPF_ALU64 ? bpf_alu64(op, insn->off, *dst, operand)
                                              : bpf_alu32(op, insn->off, *dst, operand);
    return true;
}

/* The atomics are single-threaded here: the interpreter runs alone on its memory. */
static bool atomic(struct machine *machine, const struct bpf_insn *insn, uint64_t address, uint32_t size)
{
    uint64_t *source = &machine->regs[bpf_src(insn)];
    uint64_t mask = size == 4 ? UINT32_MAX : UINT64_MAX;

    if (size < 4)
        return stop(machine, BPF_RUN_BAD_INSN);
    if ((address & (size - 1)) != 0) {
        machine->out->address = address;
        return stop(machine, BPF_RUN_OUT_OF_BOUNDS);
    }
    uint64_t old = load(address, size);
    store(address, size, bpf_atomic_result(insn->imm, old, *source & mask, machine->regs[BPF_R0] & mask));
    if (insn->imm == BPF_CMPXCHG)
        machine->regs[BPF_R0] = old;
    else if (insn->imm & BPF_FETCH)
        *source = old;
    return true;
}

static bool memory(struct machine *machine, const struct bpf_insn *insn)
{
    uint32_t class = BPF_CLASS(insn->code), mode = BPF_MODE(insn->code), size = bpf_access_size(insn->code);
    uint32_t base = class == BPF_LDX ? bpf_src(insn) : bpf_dst(insn);
    uint64_t address = machine->regs[base] + (uint64_t)(int64_t)insn->off;

    if (!allowed(machine, address, size, class != BPF_LDX))
        return false;
    if (class == BPF_LDX) {
        uint64_t value = load(address, size);

        if ((mode != BPF_MEM && mode != BPF_MEMSX) || bpf_dst(insn) == BPF_FP)
            return stop(machine, BPF_RUN_BAD_INSN);
        machine->regs[bpf_dst(insn)] = mode == BPF_MEMSX ? bpf_sign_extend(value, 8 * size) : value;
        return true;
    }
    if (class == BPF_STX && mode == BPF_ATOMIC)
        return atomic(machine, insn, address, size);
    if (mode != BPF_MEM)
        return stop(machine, BPF_RUN_BAD_INSN);
    store(address, size, class == BPF_ST ? (uint64_t)(int64_t)insn->imm : machine->regs[bpf_src(insn)]);
    return true;
}

static struct bpf_map *map_at(const struct machine *machine, uint64_t address)
{
    for (uint32_t i = 0; i < machine->prog->map_count; i++) {
        if (address_of(machine->prog->maps[i]) == address)
            return machine->prog->maps[i];
    }
    return NULL;
}

/* A helper call costs one instruction and the helper's own cost. */
static bool call_helper(struct machine *machine, const struct bpf_insn *insn)
{
    const struct bpf_helper *helper = bpf_helper_find(insn->imm);
    uint64_t *regs = machine->regs;

    if (helper == NULL || !bpf_hook_in(helper->hooks, machine->prog->hook))
        return stop(machine, BPF_RUN_BAD_CALL);
    const struct bpf_map *map = NULL;
    for (uint32_t i = 0; i < 5; i++) {
        uint64_t value = regs[BPF_R1 + i];

        switch (helper->args[i]) {
        case BPF_ARG_MAP:
            map = map_at(machine, value);
            if (map == NULL)
                return stop(machine, BPF_RUN_BAD_CALL);
            break;
        case BPF_ARG_KEY:
            if (map == NULL || !allowed(machine, value, map->def.key_size, false))
                return false;
            break;
        case BPF_ARG_VALUE:
            if (map == NULL || !allowed(machine, value, map->def.value_size, false))
                return false;
            break;
        case BPF_ARG_MEMORY:
            if (regs[BPF_R1 + i + 1] > BPF_TRACE_FORMAT_MAX)
                return stop(machine, BPF_RUN_BAD_CALL);
            if (!allowed(machine, value, (uint32_t)regs[BPF_R1 + i + 1], false))
                return false;
            break;
        default: break;
        }
    }
    machine->out->executed += bpf_helper_cost_of(helper, map == NULL ? NULL : &map->def);
    regs[BPF_R0] = helper->call(regs[BPF_R1], regs[BPF_R2], regs[BPF_R3], regs[BPF_R4], regs[BPF_R5]);
    return true;
}

static void enter_frame(struct machine *machine)
{
    struct frame *frame = &machine->frames[machine->depth];

    memset(frame->stack, machine->fill, sizeof(frame->stack));
    machine->regs[BPF_FP] = address_of(frame->stack) + BPF_STACK_SIZE;
}

/* Takes a jump, call or exit at *slot. Returns false when the run is over. */
static bool flow(struct machine *machine, const struct bpf_insn *insn, uint32_t *slot)
{
    uint64_t operand = (uint64_t)(int64_t)insn->imm;
    int64_t target = bpf_jump_target(insn, *slot);
    struct frame *frame = NULL;

    if (bpf_is_exit(insn)) {
        if (machine->depth == 0) {
            machine->out->r0 = machine->regs[BPF_R0];
            return stop(machine, BPF_RUN_OK);
        }
        frame = &machine->frames[machine->depth];
        memcpy(&machine->regs[BPF_R6], frame->saved, sizeof(frame->saved));
        *slot = frame->return_slot;
        machine->depth--;
        machine->regs[BPF_FP] = address_of(machine->frames[machine->depth].stack) + BPF_STACK_SIZE;
        return true;
    }
    if (bpf_is_call(insn) && bpf_src(insn) == BPF_CALL_HELPER) {
        (*slot)++;
        return call_helper(machine, insn);
    }
    if (bpf_is_call(insn)) {
        if (bpf_src(insn) != BPF_CALL_LOCAL || machine->depth + 1 >= BPF_MAX_CALL_DEPTH)
            return stop(machine, BPF_RUN_BAD_CALL);
        machine->depth++;
        frame = &machine->frames[machine->depth];
        memcpy(frame->saved, &machine->regs[BPF_R6], sizeof(frame->saved));
        frame->return_slot = *slot + 1;
        enter_frame(machine);
    } else if (!bpf_is_ja(insn)) {
        if (!bpf_is_branch(insn))
            return stop(machine, BPF_RUN_BAD_INSN);
        if (BPF_SRC(insn->code) == BPF_X)
            operand = machine->regs[bpf_src(insn)];
        if (!bpf_branch_taken(BPF_OP(insn->code), BPF_CLASS(insn->code) == BPF_JMP32,
                              machine->regs[bpf_dst(insn)], operand)) {
            (*slot)++;
            return true;
        }
    }
    if (target < 0 || target >= (int64_t)machine->prog->slots)
        return stop(machine, BPF_RUN_BAD_INSN);
    *slot = (uint32_t)target;
    return true;
}

static uint64_t word_at(const void *context, uint32_t offset)
{
    return load(address_of(context) + offset, 8);
}

static void set_regions(struct machine *machine, void *context)
{
    const struct bpf_prog *prog = machine->prog;
    const struct bpf_hook_shape *shape = bpf_hook_find(prog->hook);
    struct bpf_region *first = &machine->regions[0];

    machine->regs[BPF_R1] = address_of(context);
    machine->region_count = 1;
    first->base = address_of(context);
    if (shape == NULL || shape->ctx_size == 0) {
        first->size = prog->test_mem_size;
        first->writable = true;
        machine->regs[BPF_R2] = prog->test_mem_size;
        return;
    }
    first->size = shape->kernel_ctx_size;
    first->writable = false;
    if (bpf_hook_in(BPF_HOOKS_WITH_PACKET, prog->hook)) {
        struct bpf_region *packet = &machine->regions[1];
        uint64_t end = word_at(context, shape->packet_end_at);

        packet->base = word_at(context, shape->packet_at);
        packet->size = end >= packet->base ? end - packet->base : 0;
        packet->writable = true;
        machine->region_count = 2;
    }
}

static bool step(struct machine *machine, uint32_t *slot)
{
    const struct bpf_insn *insn = &machine->prog->insns[*slot];

    if (bpf_dst(insn) > BPF_FP || bpf_src(insn) > BPF_FP)
        return stop(machine, BPF_RUN_BAD_INSN);
    switch (BPF_CLASS(insn->code)) {
    case BPF_ALU:
    case BPF_ALU64: (*slot)++; return alu(machine, insn);
    case BPF_LDX:
    case BPF_ST:
    case BPF_STX:
        if (!memory(machine, insn))
            return false;
        (*slot)++;
        return true;
    case BPF_LD:
        if (!bpf_is_lddw(insn) || *slot + 1 >= machine->prog->slots || bpf_dst(insn) == BPF_FP)
            return stop(machine, BPF_RUN_BAD_INSN);
        machine->regs[bpf_dst(insn)] = bpf_lddw_value(insn);
        *slot += 2;
        return true;
    default: return flow(machine, insn, slot);
    }
}

void bpf_interp_filled(const struct bpf_prog *prog, void *context, uint64_t fuel, uint8_t fill,
                       struct bpf_run *out)
{
    struct machine machine;

    machine.prog = prog;
    machine.out = out;
    machine.depth = 0;
    machine.fill = fill;
    memset(machine.regs, 0, sizeof(machine.regs));
    memset(out, 0, sizeof(*out));
    set_regions(&machine, context);
    enter_frame(&machine);
    uint32_t slot = 0;
    for (;;) {
        out->slot = slot;
        if (slot >= prog->slots) {
            out->end = BPF_RUN_BAD_INSN;
            return;
        }
        if (out->executed >= fuel) {
            out->end = BPF_RUN_OUT_OF_FUEL;
            return;
        }
        out->executed++;
        if (!step(&machine, &slot))
            return;
    }
}

void bpf_interp(const struct bpf_prog *prog, void *context, uint64_t fuel, struct bpf_run *out)
{
    bpf_interp_filled(prog, context, fuel, 0, out);
}
