/* The verifier: explores every path of a program with abstract values, and refuses what it cannot show to be safe.
 *
 * Depth first, one instruction at a time. Where a branch can go both ways one way is saved and the other walked on.
 * Where paths meet, a state that a completed one covers is not walked again; one that is still on the path and comes
 * back, with no number known any better, is a loop that nothing is known to end, and a refusal. Loops are walked round
 * by round, up to BPF_MAX_PROCESSED instructions in all.
 */
#include "verifier.h"

#include <string.h>

#include "map.h"
#include "plant.h"
#include "relocate.h"
#include "witness.h"

#define VERIFIER_ARENA_SIZE (4u * 1024 * 1024)

size_t bpf_verify_arena_size(void)
{
    return VERIFIER_ARENA_SIZE;
}

static bool set_up(struct verifier *v, struct bpf_prog *prog, void *arena, size_t arena_size,
                   struct bpf_verdict *out)
{
    size_t head = (sizeof(*v) + 7) & ~(size_t)7, info = (size_t)prog->slots * sizeof(struct slot_info);

    memset(v, 0, offsetof(struct verifier, frames));
    for (uint32_t i = 0; i < BPF_MAX_CALL_DEPTH; i++) /* the rest of a frame is set before it is read */
        memset(&v->frames[i], 0, offsetof(struct frame, zero));
    v->prog = prog;
    v->out = out;
    v->info = (struct slot_info *)(void *)((uint8_t *)arena + head);
    v->pool = (uint8_t *)arena + head + info;
    v->next_id = META_BASE_ID;
    if (arena_size < head + info + 2 * verifier_liveness_scratch_size(prog->slots) ||
        arena_size > UINT32_MAX) {
        return verifier_refuse(v, BPF_TOO_COMPLEX, "give bpf_verify_arena_size() bytes",
                               "the verifier's arena has %U bytes", (uint64_t)arena_size);
    }
    v->pool_size = (uint32_t)(arena_size - head - info);
    memset(v->info, 0, info);
    return true;
}

static bool check_shape(struct verifier *v)
{
    const struct bpf_prog *prog = v->prog;

    if (prog->map_count > BPF_MAX_MAPS)
        return verifier_refuse(v, BPF_BAD_MAP, NULL, "%u maps, at most %u", prog->map_count, BPF_MAX_MAPS);
    for (uint32_t i = 0; i < prog->map_count; i++) {
        if (prog->maps[i] == NULL)
            return verifier_refuse(v, BPF_BAD_MAP, NULL, "map number %u is missing", i);
    }
    v->hook = bpf_hook_find(prog->hook);
    if (v->hook == NULL) {
        return verifier_refuse(v, BPF_UNSUPPORTED, "use hook " BPF_HOOK_NAMES_TEXT, "hook number %d",
                               (int)prog->hook);
    }
    if (v->hook->ctx_size == 0 && prog->test_mem_size > MAX_OFFSET)
        return verifier_refuse(v, BPF_UNSUPPORTED, NULL, "test memory of %u bytes", prog->test_mem_size);
    return true;
}

static void set_entry(struct verifier *v)
{
    struct frame *frame = verifier_top_frame(v);

    verifier_set_pointer(&v->fp, REG_STACK, 0);
    if (v->hook->ctx_size == 0) {
        verifier_set_pointer(&frame->regs[BPF_R1], REG_MEMORY, 0);
        verifier_set_scalar(&frame->regs[BPF_R2], scalar_const(v->prog->test_mem_size));
    } else {
        verifier_set_pointer(&frame->regs[BPF_R1], REG_CTX, 0);
    }
    v->slot = 0;
}

static enum step on(bool fine)
{
    return fine ? STEP_ON : STEP_REFUSED;
}

/* One instruction. On STEP_ON v->slot is the next one. */
static enum step step(struct verifier *v)
{
    const struct bpf_insn *insn = &v->prog->insns[v->slot];
    bool fine = false;

    switch (BPF_CLASS(insn->code)) {
    case BPF_ALU:
    case BPF_ALU64: fine = verifier_step_alu(v, insn); break;
    case BPF_LDX: fine = verifier_step_load(v, insn); break;
    case BPF_ST: fine = verifier_step_store(v, insn); break;
    case BPF_STX:
        fine =
            BPF_MODE(insn->code) == BPF_ATOMIC ? verifier_step_atomic(v, insn) : verifier_step_store(v, insn);
        break;
    case BPF_LD:
        if (!verifier_step_lddw(v, insn))
            return STEP_REFUSED;
        v->slot += 2;
        return STEP_ON;
    default:
        if (bpf_is_ja(insn)) {
            v->slot = (uint32_t)bpf_jump_target(insn, v->slot);
            return STEP_ON;
        }
        if (bpf_is_exit(insn))
            return verifier_step_exit(v);
        if (bpf_is_local_call(insn))
            return on(verifier_step_local_call(v, insn));
        if (!bpf_is_call(insn))
            return verifier_step_branch(v, insn);
        fine = verifier_step_helper(v, insn);
        break;
    }
    if (!fine)
        return STEP_REFUSED;
    v->slot++;
    return STEP_ON;
}

/* The path is over: on to the newest branch that waits. False when none does. */
static bool next_path(struct verifier *v)
{
    if (!verifier_pop_branch(v))
        return false;
    verifier_take_branch(v);
    return true;
}

static bool walk(struct verifier *v)
{
    for (;;) {
        struct slot_info *info = &v->info[v->slot];

        if (info->flags & SLOT_JOIN) {
            switch (verifier_visit_join(v)) {
            case VISIT_LOOPS:
                return verifier_refuse(
                    v, BPF_INFINITE_LOOP,
                    "count the rounds in a register or on the stack, with a constant bound",
                    "the program comes back here with nothing changed: the loop may never end");
            case VISIT_COVERED:
                if (!next_path(v))
                    return true;
                continue;
            default: break;
            }
        }
        if (v->processed == BPF_MAX_PROCESSED) {
            return verifier_refuse(v, BPF_TOO_COMPLEX, "make loops shorter and branches fewer",
                                   "more than %u instructions to walk over all paths", BPF_MAX_PROCESSED);
        }
        v->processed++;
        v->steps++;
        v->cost++;
        PLANT_SLOW_VERIFIER();
        WITNESS_STEP(v);
        info->flags |= SLOT_REACHED;
        switch (step(v)) {
        case STEP_ON: break;
        case STEP_REFUSED: return false;
        case STEP_PATH_END:
            verifier_end_path(v, 0);
            if (!next_path(v))
                return true;
            break;
        }
    }
}

/* bpf_access_size the other way round. */
static uint32_t size_code(uint32_t size)
{
    switch (size) {
    case 1: return BPF_B;
    case 2: return BPF_H;
    case 4: return BPF_W;
    default: return BPF_DW;
    }
}

/* A pointer is loaded whole. Of a number the program sees the low bytes that it has room for, and where the kernel's
 * has fewer, its sign bit is 0. */
static void rewrite_ctx_load(const struct bpf_hook_shape *hook, struct bpf_insn *insn)
{
    const struct bpf_ctx_field *field = verifier_ctx_field(hook, insn->off, bpf_access_size(insn->code));
    bool wider = field->kernel_size > field->size, narrower = field->kernel_size < field->size;
    uint32_t size = wider && field->points == BPF_POINTS_NOWHERE ? field->size : field->kernel_size;
    uint32_t mode = narrower ? BPF_MEM : BPF_MODE(insn->code);

    insn->code = (uint8_t)(BPF_LDX | mode | size_code(size));
    insn->off = field->kernel_off;
}

/* Context loads become loads of the kernel's context, map references become addresses. */
static void rewrite(struct verifier *v)
{
    struct bpf_prog *prog = v->prog;

    for (uint32_t slot = 0; slot < prog->slots; slot++) {
        struct bpf_insn *insn = &prog->insns[slot];
        uint32_t flags = v->info[slot].flags;

        if (prog->slot_flags != NULL)
            prog->slot_flags[slot] = flags & SLOT_REACHED ? BPF_SLOT_REACHED : 0;
        if (flags & SLOT_TAIL)
            continue;
        if (flags & SLOT_CTX_LOAD)
            rewrite_ctx_load(v->hook, insn);
        else if (bpf_is_lddw(insn) && bpf_src(insn) != BPF_LDDW_IMM)
            bpf_relocate(insn, prog->maps, insn);
    }
}

bool bpf_verify(struct bpf_prog *prog, void *arena, size_t arena_size, struct bpf_verdict *out)
{
    struct verifier *v = arena;

    memset(out, 0, sizeof(*out));
    if (prog->slots == 0 || prog->slots > BPF_MAX_SLOTS || ((uintptr_t)arena & 7) != 0 ||
        arena_size < sizeof(*v)) {
        static const char text[] = "a program has 1 to 4096 slots, and the verifier an aligned arena";

        out->refusal = BPF_BAD_ENCODING;
        memcpy(out->reason, text, sizeof(text));
        return false;
    }
    if (!set_up(v, prog, arena, arena_size, out))
        return false;
    if (!check_shape(v) || !verifier_check_encoding(v) || !verifier_find_subprograms(v) ||
        !verifier_check_flow(v)) {
        return false;
    }
    verifier_find_liveness(v, v->pool);
    verifier_find_relevance(v, (const struct stack_access *)(const void *)v->pool);
    verifier_states_start(v);
    set_entry(v);
    bool accepted = walk(v);
    out->processed = v->processed;
    out->peak_states = v->peak;
    if (!accepted || !verifier_check_call_graph(v))
        return false;
    prog->wcet = verifier_wcet(v);
    rewrite(v);
    return true;
}
