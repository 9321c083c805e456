/* Checks before any path is explored: encodings, subprograms, control flow.
 *
 * As in Linux, an instruction that no path of the control-flow graph reaches is a refusal; one that the graph reaches
 * but no walked path does is accepted, and left without BPF_SLOT_REACHED.
 */
#include "verifier.h"

#include "map.h"

#define RESERVED "set the fields that RFC 9669 reserves to zero"

static bool check_alu(struct verifier *v, const struct bpf_insn *insn)
{
    uint32_t op = BPF_OP(insn->code);
    bool wide = BPF_CLASS(insn->code) == BPF_ALU64, by_reg = BPF_SRC(insn->code) == BPF_X;

    if (op > BPF_END) {
        return verifier_refuse(v, BPF_BAD_ENCODING, NULL, "unknown arithmetic opcode %X",
                               (uint64_t)insn->code);
    }
    if (bpf_dst(insn) == BPF_FP)
        return verifier_refuse(v, BPF_BAD_REGISTER, "copy r10 to another register first", "r10 is read-only");
    if (op == BPF_NEG) {
        if (by_reg || bpf_src(insn) != 0 || insn->off != 0 || insn->imm != 0)
            return verifier_refuse(v, BPF_BAD_ENCODING, RESERVED, "neg with an operand");
        return true;
    }
    if (op == BPF_END) {
        if (bpf_src(insn) != 0 || insn->off != 0 || (wide && by_reg) ||
            (insn->imm != 16 && insn->imm != 32 && insn->imm != 64)) {
            return verifier_refuse(v, BPF_BAD_ENCODING, "imm is 16, 32 or 64, all else zero",
                                   "malformed byte swap");
        }
        return true;
    }
    if (by_reg ? insn->imm != 0 : bpf_src(insn) != 0)
        return verifier_refuse(v, BPF_BAD_ENCODING, RESERVED, "arithmetic with a reserved field set");
    if (op == BPF_MOV && insn->off != 0) {
        if (by_reg && (insn->off == 8 || insn->off == 16 || (wide && insn->off == 32)))
            return true;
        return verifier_refuse(v, BPF_BAD_ENCODING, "off is 0, or 8, 16, 32 (64-bit) with a register",
                               "malformed mov");
    }
    if (op == BPF_DIV || op == BPF_MOD) {
        if (insn->off != 0 && insn->off != 1) {
            return verifier_refuse(v, BPF_BAD_ENCODING, "off is 0 (unsigned) or 1 (signed)",
                                   "malformed division");
        }
        return true;
    }
    if (insn->off != 0)
        return verifier_refuse(v, BPF_BAD_ENCODING, RESERVED, "arithmetic with a reserved offset");
    return true;
}

static bool check_jump(struct verifier *v, const struct bpf_insn *insn)
{
    uint32_t op = BPF_OP(insn->code);
    bool narrow = BPF_CLASS(insn->code) == BPF_JMP32, by_reg = BPF_SRC(insn->code) == BPF_X;

    switch (op) {
    case BPF_JA:
        if (by_reg || insn->regs != 0 || (narrow ? insn->off != 0 : insn->imm != 0))
            return verifier_refuse(v, BPF_BAD_ENCODING, RESERVED, "malformed goto");
        return true;
    case BPF_CALL:
        if (narrow || by_reg) {
            return verifier_refuse(v, BPF_UNSUPPORTED, "call a helper or a local function",
                                   "indirect calls are not supported");
        }
        if (bpf_dst(insn) != 0 || insn->off != 0)
            return verifier_refuse(v, BPF_BAD_ENCODING, RESERVED, "malformed call");
        if (bpf_src(insn) > BPF_CALL_LOCAL) {
            return verifier_refuse(v, BPF_UNSUPPORTED, "call a helper or a local function",
                                   "calls by BTF id (src %u) are not supported", bpf_src(insn));
        }
        return true;
    case BPF_EXIT:
        if (narrow || by_reg || insn->regs != 0 || insn->off != 0 || insn->imm != 0)
            return verifier_refuse(v, BPF_BAD_ENCODING, RESERVED, "malformed exit");
        return true;
    default: break;
    }
    if (op > BPF_JSLE)
        return verifier_refuse(v, BPF_BAD_ENCODING, NULL, "unknown jump opcode %X", (uint64_t)insn->code);
    if (by_reg ? insn->imm != 0 : bpf_src(insn) != 0)
        return verifier_refuse(v, BPF_BAD_ENCODING, RESERVED, "jump with a reserved field set");
    return true;
}

static bool check_atomic(struct verifier *v, const struct bpf_insn *insn)
{
    if (BPF_SIZE(insn->code) != BPF_W && BPF_SIZE(insn->code) != BPF_DW) {
        return verifier_refuse(v, BPF_BAD_ENCODING, "use 4 or 8 bytes", "atomic of %u bytes",
                               bpf_access_size(insn->code));
    }
    switch (insn->imm) {
    case BPF_ADD:
    case BPF_OR:
    case BPF_AND:
    case BPF_XOR:
    case (int32_t)BPF_ADD | BPF_FETCH:
    case (int32_t)BPF_OR | BPF_FETCH:
    case (int32_t)BPF_AND | BPF_FETCH:
    case (int32_t)BPF_XOR | BPF_FETCH:
    case BPF_XCHG:
    case BPF_CMPXCHG: return true;
    default:
        return verifier_refuse(v, BPF_BAD_ENCODING, NULL, "unknown atomic operation %X",
                               (uint64_t)(uint32_t)insn->imm);
    }
}

static bool check_memory(struct verifier *v, const struct bpf_insn *insn)
{
    uint32_t class = BPF_CLASS(insn->code), mode = BPF_MODE(insn->code);

    if (class == BPF_LDX) {
        if (mode != BPF_MEM && (mode != BPF_MEMSX || BPF_SIZE(insn->code) == BPF_DW))
            return verifier_refuse(v, BPF_BAD_ENCODING, NULL, "unknown load %X", (uint64_t)insn->code);
        if (bpf_dst(insn) == BPF_FP)
            return verifier_refuse(v, BPF_BAD_REGISTER, NULL, "r10 is read-only");
        if (insn->imm != 0)
            return verifier_refuse(v, BPF_BAD_ENCODING, RESERVED, "load with a reserved immediate");
        return true;
    }
    if (class == BPF_ST) {
        if (mode != BPF_MEM || bpf_src(insn) != 0)
            return verifier_refuse(v, BPF_BAD_ENCODING, RESERVED, "malformed store");
        return true;
    }
    if (mode == BPF_ATOMIC)
        return check_atomic(v, insn);
    if (mode != BPF_MEM || insn->imm != 0)
        return verifier_refuse(v, BPF_BAD_ENCODING, RESERVED, "malformed store");
    return true;
}

static bool check_lddw(struct verifier *v, const struct bpf_insn *insn)
{
    const struct bpf_prog *prog = v->prog;
    uint32_t kind = bpf_src(insn);
    uint32_t index = (uint32_t)insn->imm;

    if (!bpf_is_lddw(insn)) {
        if (BPF_MODE(insn->code) == BPF_ABS || BPF_MODE(insn->code) == BPF_IND) {
            return verifier_refuse(v, BPF_UNSUPPORTED, "read the packet through data and data_end",
                                   "legacy packet loads are not supported");
        }
        return verifier_refuse(v, BPF_BAD_ENCODING, NULL, "unknown opcode %X", (uint64_t)insn->code);
    }
    if (v->slot + 1 >= prog->slots || insn[1].code != 0 || insn[1].regs != 0 || insn[1].off != 0) {
        return verifier_refuse(v, BPF_BAD_ENCODING, "an lddw is two slots, the second with only imm",
                               "malformed lddw");
    }
    if (bpf_dst(insn) == BPF_FP)
        return verifier_refuse(v, BPF_BAD_REGISTER, NULL, "r10 is read-only");
    if (insn->off != 0)
        return verifier_refuse(v, BPF_BAD_ENCODING, RESERVED, "lddw with a reserved offset");
    if (kind == BPF_LDDW_IMM)
        return true;
    if (kind > BPF_LDDW_MAP_VALUE) {
        return verifier_refuse(v, BPF_UNSUPPORTED, "use src 0, 1 (map) or 2 (map value)", "lddw with src %u",
                               kind);
    }
    if (index >= prog->map_count || prog->maps[index] == NULL)
        return verifier_refuse(v, BPF_BAD_MAP, NULL, "map number %u of %u", index, prog->map_count);
    const struct bpf_map_def *def = bpf_map_def_of(prog->maps[index]);
    if (kind == BPF_LDDW_MAP) {
        if (insn[1].imm != 0)
            return verifier_refuse(v, BPF_BAD_ENCODING, RESERVED, "map reference with a reserved immediate");
        return true;
    }
    if (!bpf_map_is_direct(prog->maps[index])) {
        return verifier_refuse(v, BPF_BAD_MAP, "look the value up",
                               "map %s: only an array map of one entry has a value to point at", def->name);
    }
    if ((uint32_t)insn[1].imm >= def->value_size) {
        return verifier_refuse(v, BPF_BAD_MAP, NULL, "map %s: offset %u in a value of %u bytes", def->name,
                               (uint32_t)insn[1].imm, def->value_size);
    }
    return true;
}

bool verifier_check_encoding(struct verifier *v)
{
    const struct bpf_prog *prog = v->prog;

    for (v->slot = 0; v->slot < prog->slots; v->slot++) {
        const struct bpf_insn *insn = &prog->insns[v->slot];
        bool fine = false;

        if (bpf_dst(insn) > BPF_FP || bpf_src(insn) > BPF_FP)
            return verifier_refuse(v, BPF_BAD_REGISTER, NULL, "register number above 10");
        switch (BPF_CLASS(insn->code)) {
        case BPF_ALU:
        case BPF_ALU64: fine = check_alu(v, insn); break;
        case BPF_JMP:
        case BPF_JMP32: fine = check_jump(v, insn); break;
        case BPF_LD: fine = check_lddw(v, insn); break;
        default: fine = check_memory(v, insn); break;
        }
        if (!fine)
            return false;
        if (bpf_is_lddw(insn)) {
            v->info[v->slot + 1].flags |= SLOT_TAIL;
            v->slot++;
        }
    }
    return true;
}

bool verifier_find_subprograms(struct verifier *v)
{
    struct bpf_prog *prog = v->prog;

    v->info[0].flags |= SLOT_SUBPROG;
    for (v->slot = 0; v->slot < prog->slots; v->slot++) {
        const struct bpf_insn *insn = &prog->insns[v->slot];

        if ((v->info[v->slot].flags & SLOT_TAIL) || !bpf_is_local_call(insn))
            continue;
        int64_t target = bpf_jump_target(insn, v->slot);
        if (target < 0 || target >= (int64_t)prog->slots || (v->info[target].flags & SLOT_TAIL)) {
            return verifier_refuse(v, BPF_BAD_CALL, NULL, "call of slot %D in a program of %u slots", target,
                                   prog->slots);
        }
        v->info[target].flags |= SLOT_SUBPROG;
    }
    uint32_t count = 0;
    for (v->slot = 0; v->slot < prog->slots; v->slot++) {
        if (v->info[v->slot].flags & SLOT_SUBPROG) {
            if (count == BPF_MAX_SUBPROGS) {
                return verifier_refuse(v, BPF_TOO_COMPLEX, "merge or inline some", "more than %u functions",
                                       BPF_MAX_SUBPROGS);
            }
            prog->subprog_start[count++] = v->slot;
        }
        v->info[v->slot].subprog = (uint8_t)(count - 1);
    }
    prog->subprog_count = count;
    return true;
}

/* Notes an edge from v->slot to `to`; the work list is threaded through info[].active, which the walk needs later. */
static bool add_edge(struct verifier *v, int64_t to, bool jump, uint32_t *work)
{
    if (to < 0 || to >= (int64_t)v->prog->slots) {
        if (!jump) {
            return verifier_refuse(v, BPF_BAD_JUMP, "end it with exit or goto",
                                   "control runs off the end of the program");
        }
        return verifier_refuse(v, BPF_BAD_JUMP, NULL, "jump to slot %D in a program of %u slots", to,
                               v->prog->slots);
    }
    struct slot_info *target = &v->info[to];
    if (target->flags & SLOT_TAIL)
        return verifier_refuse(v, BPF_BAD_JUMP, NULL, "jump into the second half of an lddw (slot %D)", to);
    if (target->subprog != v->info[v->slot].subprog) {
        if (!jump) {
            return verifier_refuse(v, BPF_BAD_JUMP, "end the function with exit or goto",
                                   "control runs into the next function");
        }
        return verifier_refuse(v, BPF_BAD_JUMP, "use a call", "jump from one function into another (slot %D)",
                               to);
    }
    if (target->flags & SLOT_VISITED) {
        target->flags |= SLOT_JOIN;
        return true;
    }
    target->flags |= SLOT_VISITED;
    target->active = *work;
    *work = (uint32_t)to + 1;
    return true;
}

bool verifier_check_flow(struct verifier *v)
{
    struct bpf_prog *prog = v->prog;
    uint32_t work = 0;

    for (uint32_t i = 0; i < prog->subprog_count; i++) {
        v->slot = prog->subprog_start[i];
        v->info[v->slot].flags |= SLOT_VISITED;
        v->info[v->slot].active = work;
        work = v->slot + 1;
    }
    while (work != 0) { /* each slot enters the list once */
        const struct bpf_insn *insn = NULL;
        bool falls = false;

        v->slot = work - 1;
        insn = &prog->insns[v->slot];
        work = v->info[v->slot].active;
        v->info[v->slot].active = 0;
        if (bpf_is_exit(insn))
            continue;
        falls = !bpf_is_ja(insn);
        if (falls && !add_edge(v, (int64_t)v->slot + (bpf_is_lddw(insn) ? 2 : 1), false, &work))
            return false;
        if (bpf_is_local_call(insn))
            v->info[v->slot + 1].flags |= SLOT_JOIN; /* every path through the callee comes back here */
        if ((!falls || bpf_is_branch(insn)) && !add_edge(v, bpf_jump_target(insn, v->slot), true, &work))
            return false;
    }
    for (v->slot = 0; v->slot < prog->slots; v->slot++) {
        if (!(v->info[v->slot].flags & (SLOT_VISITED | SLOT_TAIL)))
            return verifier_refuse(v, BPF_BAD_JUMP, "remove it", "nothing leads to this instruction");
    }
    return true;
}

bool verifier_check_call_graph(struct verifier *v)
{
    struct bpf_prog *prog = v->prog;
    uint32_t depth[BPF_MAX_SUBPROGS] = {0}; /* stack bytes above a function's frame, at worst */
    uint32_t calls[BPF_MAX_SUBPROGS] = {0}; /* frames above it */

    for (uint32_t i = 0; i < prog->subprog_count; i++)
        prog->subprog_stack[i] = (v->stack_used[i] + 15u) & ~15u;
    /* Longest paths by relaxation: without recursion, as many rounds as functions settle them. */
    for (uint32_t round = 0; round <= prog->subprog_count; round++) {
        bool settled = true;

        for (v->slot = 0; v->slot < prog->slots; v->slot++) {
            const struct bpf_insn *insn = &prog->insns[v->slot];
            uint32_t from = v->info[v->slot].subprog;

            if ((v->info[v->slot].flags & SLOT_TAIL) || !bpf_is_local_call(insn))
                continue;
            uint32_t to = v->info[bpf_jump_target(insn, v->slot)].subprog;
            if (depth[to] < depth[from] + prog->subprog_stack[from] || calls[to] < calls[from] + 1) {
                uint32_t bytes = depth[from] + prog->subprog_stack[from];

                depth[to] = depth[to] < bytes ? bytes : depth[to];
                calls[to] = calls[to] < calls[from] + 1 ? calls[from] + 1 : calls[to];
                settled = false;
            }
            if (calls[to] >= BPF_MAX_CALL_DEPTH || to == from) {
                return verifier_refuse(v, BPF_BAD_CALL, "inline a function, or remove the recursion",
                                       "calls are nested deeper than %u, or recursive", BPF_MAX_CALL_DEPTH);
            }
        }
        if (settled)
            break;
    }
    prog->stack_bytes = 0;
    for (uint32_t i = 0; i < prog->subprog_count; i++) {
        uint32_t bytes = depth[i] + prog->subprog_stack[i];

        if (bytes > BPF_STACK_SIZE) {
            v->slot = prog->subprog_start[i];
            return verifier_refuse(v, BPF_STACK_TOO_DEEP, "use less stack, or inline the function",
                                   "%u bytes of stack over the call chain, at most %u", bytes,
                                   BPF_STACK_SIZE);
        }
        prog->stack_bytes = bytes > prog->stack_bytes ? bytes : prog->stack_bytes;
    }
    return true;
}
