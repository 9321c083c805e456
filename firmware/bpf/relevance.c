/* Values that can matter: those that may still decide a branch, an address, or how much a helper reads.
 *
 * A counter that is only summed up and returned is live, yet no check will ever look at its value; at joins its value
 * is forgotten, so that paths which differ in it alone are one. Backward over the program, like liveness; and like
 * there an error can only lead to a refusal, since to forget a value is sound.
 */
#include "verifier.h"

#include "helpers.h"

struct matter {
    uint64_t slots;
    uint32_t regs;
};

static uint32_t bit_of(uint32_t number)
{
    return 1u << number;
}

static bool has(const struct matter *matter, uint32_t number)
{
    return (matter->regs >> number & 1) != 0;
}

static void before_alu(const struct bpf_insn *insn, struct matter *matter)
{
    uint32_t dst = bpf_dst(insn), op = BPF_OP(insn->code);
    bool matters = has(matter, dst);

    if (op == BPF_MOV)
        matter->regs &= ~bit_of(dst);
    if (matters && BPF_SRC(insn->code) == BPF_X && op != BPF_END)
        matter->regs |= bit_of(bpf_src(insn));
}

static void before_load(const struct bpf_insn *insn, const struct stack_access *access, struct matter *matter)
{
    uint64_t low = 0, high = 0;
    bool matters = has(matter, bpf_dst(insn));

    matter->regs = (matter->regs & ~bit_of(bpf_dst(insn))) | bit_of(bpf_src(insn));
    if (!matters)
        return;
    if (access->kind == ACCESS_READ_ALL)
        matter->slots = UINT64_MAX;
    if (access->kind == ACCESS_READ) {
        verifier_mark_slots(access->off, access->size, false, &low, &high);
        matter->slots |= low | high;
    }
}

static void before_store(const struct verifier *v, uint32_t slot, const struct stack_access *access,
                         struct matter *matter)
{
    const struct bpf_insn *insn = &v->prog->insns[slot];
    uint64_t low = 0, high = 0;
    bool matters = false;

    switch (access->kind) {
    case ACCESS_WRITE:
        verifier_mark_slots(access->off, access->size, false, &low, &high);
        matters = (matter->slots & (low | high)) != 0;
        low = 0;
        high = 0;
        verifier_mark_slots(access->off, access->size, true, &low, &high);
        matter->slots &= ~(low & high);
        break;
    case ACCESS_NONE: /* not this function's stack; a caller's perhaps, or this one's through a spilled pointer */
        matters = v->info[slot].subprog != 0 || v->all_live[v->info[slot].subprog];
        break;
    default: matters = true; break;
    }
    matter->regs |= bit_of(bpf_dst(insn));
    if (BPF_CLASS(insn->code) == BPF_STX && (matters || BPF_MODE(insn->code) == BPF_ATOMIC))
        matter->regs |= bit_of(bpf_src(insn)) | (BPF_MODE(insn->code) == BPF_ATOMIC ? bit_of(BPF_R0) : 0);
}

static void before_call(const struct verifier *v, uint32_t slot, struct matter *matter)
{
    const struct bpf_insn *insn = &v->prog->insns[slot];

    matter->regs &= ~(1u << BPF_R0 | BPF_CLOBBERED);
    if (bpf_is_local_call(insn)) {
        matter->regs |= 0x3eu;
        if (v->info[slot].flags & SLOT_LENDS)
            matter->slots = UINT64_MAX;
        return;
    }
    const struct bpf_helper *helper = bpf_helper_find(insn->imm);
    for (uint32_t i = 0; helper != NULL && i < 5; i++) {
        if (helper->args[i] != BPF_ARG_NONE && helper->args[i] != BPF_ARG_SCALAR &&
            helper->args[i] != BPF_ARG_PRINTED) {
            matter->regs |= bit_of(BPF_R1 + i);
        }
    }
}

static void join_matter(const struct verifier *v, uint32_t slot, struct matter *matter)
{
    matter->regs |= v->info[slot].matter_regs;
    matter->slots |= v->info[slot].matter_slots;
}

static bool step_back(struct verifier *v, uint32_t slot, const struct stack_access *access)
{
    const struct bpf_insn *insn = &v->prog->insns[slot];
    struct slot_info *info = &v->info[slot];
    struct matter matter = {0, 0};

    if (!bpf_is_exit(insn) && !bpf_is_ja(insn))
        join_matter(v, slot + (bpf_is_lddw(insn) ? 2u : 1u), &matter);
    if (bpf_is_ja(insn) || bpf_is_branch(insn))
        join_matter(v, (uint32_t)bpf_jump_target(insn, slot), &matter);
    switch (BPF_CLASS(insn->code)) {
    case BPF_ALU:
    case BPF_ALU64: before_alu(insn, &matter); break;
    case BPF_LD: matter.regs &= ~bit_of(bpf_dst(insn)); break;
    case BPF_LDX: before_load(insn, access, &matter); break;
    case BPF_ST:
    case BPF_STX: before_store(v, slot, access, &matter); break;
    default:
        if (bpf_is_call(insn)) {
            before_call(v, slot, &matter);
        } else if (bpf_is_branch(insn)) {
            matter.regs |= bit_of(bpf_dst(insn));
            if (BPF_SRC(insn->code) == BPF_X)
                matter.regs |= bit_of(bpf_src(insn));
        } else if (bpf_is_exit(insn) && info->subprog != 0) {
            matter.regs = bit_of(BPF_R0); /* what the caller does with it is not followed */
        }
        break;
    }
    if (matter.regs == info->matter_regs && matter.slots == info->matter_slots)
        return false;
    info->matter_regs = matter.regs;
    info->matter_slots = matter.slots;
    return true;
}

void verifier_find_relevance(struct verifier *v, const struct stack_access *access)
{
    bool loops = verifier_program_loops(v), again = true;

    while (again) { /* the sets only grow, so this ends */
        again = false;
        for (uint32_t slot = v->prog->slots; slot-- > 0;) {
            if (!(v->info[slot].flags & SLOT_TAIL) && step_back(v, slot, &access[slot]))
                again = loops;
        }
    }
}
