/* Which registers and stack slots may still be read, before any path is walked.
 *
 * Saved states keep only what is live, so that states which differ in dead values count as the same. Two passes: a
 * forward one that finds which registers point into the function's own stack, and where; a backward one over the
 * reads and writes that follow from it. An error here cannot make the verifier unsound: what is not live is forgotten
 * at every join, so a read that was missed is refused as uninitialised.
 */
#include "verifier.h"

#include <string.h>

#include "helpers.h"
#include "map.h"

/* Where a register points: an offset from r10, or one of these. */
#define POINTS_ELSEWHERE INT16_MAX
#define POINTS_ANYWHERE  (INT16_MAX - 1) /* into the stack, at an unknown offset */
#define POINTS_MAX       2048

struct points {
    int16_t at[10];
};

struct scratch {
    struct points *points; /* before each slot */
    struct stack_access *access;
};

size_t verifier_liveness_scratch_size(uint32_t slots)
{
    return (size_t)slots * (sizeof(struct points) + sizeof(struct stack_access));
}

static int32_t points_at(const struct points *points, uint32_t number)
{
    return number == BPF_FP ? 0 : points->at[number];
}

static int16_t moved(int32_t at, int64_t by)
{
    if (at == POINTS_ELSEWHERE || at == POINTS_ANYWHERE)
        return (int16_t)at;
    if (at + by < -POINTS_MAX || at + by > POINTS_MAX)
        return POINTS_ANYWHERE;
    return (int16_t)(at + by);
}

static void follow_alu(const struct bpf_insn *insn, struct points *points)
{
    uint32_t dst = bpf_dst(insn), op = BPF_OP(insn->code);
    bool wide = BPF_CLASS(insn->code) == BPF_ALU64, by_reg = BPF_SRC(insn->code) == BPF_X;
    int32_t was = points_at(points, dst),
            other = by_reg ? points_at(points, bpf_src(insn)) : POINTS_ELSEWHERE;

    if (wide && op == BPF_MOV && insn->off == 0) {
        points->at[dst] = (int16_t)other;
    } else if (wide && (op == BPF_ADD || op == BPF_SUB) && !by_reg) {
        points->at[dst] = moved(was, op == BPF_ADD ? (int64_t)insn->imm : -(int64_t)insn->imm);
    } else if (wide && (op == BPF_ADD || op == BPF_SUB) &&
               (was != POINTS_ELSEWHERE || other != POINTS_ELSEWHERE)) {
        points->at[dst] = POINTS_ANYWHERE;
    } else {
        points->at[dst] = POINTS_ELSEWHERE;
    }
}

static void note(struct stack_access *access, enum access_kind kind, int32_t at, int32_t off, uint32_t size)
{
    int32_t from = at + off;

    if (at == POINTS_ELSEWHERE)
        return;
    if (at == POINTS_ANYWHERE) {
        access->kind = kind == ACCESS_READ ? ACCESS_READ_ALL : ACCESS_WRITE_SOMEWHERE;
        return;
    }
    int32_t to = from + (int32_t)size;
    from = from < -(int32_t)BPF_STACK_SIZE ? -(int32_t)BPF_STACK_SIZE : from;
    to = to > 0 ? 0 : to;
    if (from >= to || access->kind == ACCESS_READ_ALL)
        return;
    if (access->kind == kind) { /* a second argument: one range around both */
        int32_t end = access->off + access->size;

        from = from < access->off ? from : access->off;
        to = to > end ? to : end;
    }
    access->kind = (uint8_t)kind;
    access->off = (int16_t)from;
    access->size = (uint16_t)(to - from);
}

static void note_call(struct verifier *v, uint32_t slot, const struct points *points,
                      struct stack_access *access)
{
    const struct bpf_insn *insn = &v->prog->insns[slot];

    if (bpf_is_local_call(insn)) {
        for (uint32_t i = BPF_R1; i <= BPF_R5; i++) {
            if (points->at[i] != POINTS_ELSEWHERE) {
                v->info[slot].flags |= SLOT_LENDS;
                access->kind = ACCESS_READ_ALL;
            }
        }
        return;
    }
    const struct bpf_helper *helper = bpf_helper_find(insn->imm);
    for (uint32_t i = 0; helper != NULL && i < 5; i++) {
        uint32_t size = BPF_STACK_SIZE;

        if (helper->args[i] != BPF_ARG_KEY && helper->args[i] != BPF_ARG_VALUE &&
            helper->args[i] != BPF_ARG_MEMORY) {
            continue;
        }
        if (helper->args[i] != BPF_ARG_MEMORY) {
            size = 0;
            for (uint32_t m = 0; m < v->prog->map_count; m++) {
                const struct bpf_map_def *def = bpf_map_def_of(v->prog->maps[m]);
                uint32_t bytes = helper->args[i] == BPF_ARG_KEY ? def->key_size : def->value_size;

                size = bytes > size ? bytes : size;
            }
        }
        note(access, ACCESS_READ, points->at[BPF_R1 + i], 0, size);
    }
}

/* One instruction forward: what it reads and writes of the stack, and where registers point after it. */
static void follow(struct verifier *v, uint32_t slot, struct points *points, struct stack_access *access)
{
    const struct bpf_insn *insn = &v->prog->insns[slot];
    uint32_t size = bpf_access_size(insn->code), dst = bpf_dst(insn);

    access->kind = ACCESS_NONE;
    switch (BPF_CLASS(insn->code)) {
    case BPF_ALU:
    case BPF_ALU64: follow_alu(insn, points); break;
    case BPF_LDX:
        note(access, ACCESS_READ, points_at(points, bpf_src(insn)), insn->off, size);
        points->at[dst] = POINTS_ELSEWHERE;
        break;
    case BPF_ST: note(access, ACCESS_WRITE, points_at(points, dst), insn->off, size); break;
    case BPF_STX:
        if (points_at(points, bpf_src(insn)) != POINTS_ELSEWHERE)
            v->all_live[v->info[slot].subprog] = true; /* a stack pointer in memory: no longer tracked */
        note(access, BPF_MODE(insn->code) == BPF_ATOMIC ? ACCESS_READ : ACCESS_WRITE, points_at(points, dst),
             insn->off, size);
        break;
    case BPF_LD: points->at[dst] = POINTS_ELSEWHERE; break;
    default:
        if (!bpf_is_call(insn))
            break;
        note_call(v, slot, points, access);
        for (uint32_t i = BPF_R0; i <= BPF_R5; i++)
            points->at[i] = POINTS_ELSEWHERE;
        break;
    }
}

static bool join_points(struct scratch *scratch, uint32_t to, const struct points *points)
{
    struct points *known = &scratch->points[to];

    if (!scratch->access[to].seen) {
        *known = *points;
        scratch->access[to].seen = 1;
        return true;
    }
    bool changed = false;
    for (uint32_t i = 0; i < 10; i++) {
        if (known->at[i] == points->at[i] || known->at[i] == POINTS_ANYWHERE)
            continue;
        known->at[i] = POINTS_ANYWHERE;
        changed = true;
    }
    return changed;
}

/* Forward until nothing changes. Each register at each slot changes at most twice, so it ends. */
static void find_points(struct verifier *v, struct scratch *scratch)
{
    const struct bpf_prog *prog = v->prog;
    struct points points;
    bool again = true;

    for (uint32_t i = 0; i < 10; i++)
        points.at[i] = POINTS_ELSEWHERE;
    for (uint32_t i = 0; i < prog->subprog_count; i++)
        (void)join_points(scratch, prog->subprog_start[i], &points);
    while (again) {
        again = false;
        for (uint32_t slot = 0; slot < prog->slots; slot++) {
            const struct bpf_insn *insn = &prog->insns[slot];

            if (!scratch->access[slot].seen)
                continue;
            points = scratch->points[slot];
            follow(v, slot, &points, &scratch->access[slot]);
            if (bpf_is_exit(insn))
                continue;
            if (!bpf_is_ja(insn))
                (void)join_points(scratch, slot + (bpf_is_lddw(insn) ? 2u : 1u), &points);
            if (bpf_is_ja(insn) || bpf_is_branch(insn)) {
                uint32_t target = (uint32_t)bpf_jump_target(insn, slot);

                if (join_points(scratch, target, &points) && target <= slot)
                    again = true;
            }
        }
    }
}

void verifier_mark_slots(int32_t off, uint32_t size, bool whole, uint64_t *low, uint64_t *high)
{
    uint32_t from = (uint32_t)(off + (int32_t)BPF_STACK_SIZE), to = from + size;
    uint32_t first = whole ? (from + 3) / 4 : from / 4, end = whole ? to / 4 : (to + 3) / 4;

    for (uint32_t half = first; half < end; half++) {
        uint64_t bit = (uint64_t)1 << (STACK_SLOTS - 1 - half / 2);

        if (half % 2 == 0)
            *low |= bit;
        else
            *high |= bit;
    }
}

struct live {
    uint64_t low, high;
    uint32_t regs;
};

static uint32_t bit_of(uint32_t number)
{
    return 1u << number;
}

static void before_call(const struct bpf_insn *insn, struct live *live)
{
    const struct bpf_helper *helper = bpf_helper_find(insn->imm);

    live->regs &= ~(1u << BPF_R0 | BPF_CLOBBERED);
    if (bpf_is_local_call(insn)) {
        live->regs |= 0x3eu;
        return;
    }
    for (uint32_t i = 0; helper != NULL && i < 5; i++) {
        if (helper->args[i] != BPF_ARG_NONE)
            live->regs |= bit_of(BPF_R1 + i);
    }
}

/* Registers live before an instruction, given those live after it. */
static void before(const struct bpf_insn *insn, struct live *live)
{
    uint32_t dst = bit_of(bpf_dst(insn)), src = bit_of(bpf_src(insn));

    switch (BPF_CLASS(insn->code)) {
    case BPF_ALU:
    case BPF_ALU64:
        if (BPF_OP(insn->code) == BPF_MOV)
            live->regs &= ~dst;
        else
            live->regs |= dst;
        if (BPF_SRC(insn->code) == BPF_X && BPF_OP(insn->code) != BPF_END)
            live->regs |= src;
        break;
    case BPF_LD: live->regs &= ~dst; break;
    case BPF_LDX: live->regs = (live->regs & ~dst) | src; break;
    case BPF_ST: live->regs |= dst; break;
    case BPF_STX:
        live->regs |= dst | src;
        if (BPF_MODE(insn->code) == BPF_ATOMIC && insn->imm == BPF_CMPXCHG)
            live->regs |= bit_of(BPF_R0);
        break;
    default:
        if (bpf_is_call(insn)) {
            before_call(insn, live);
        } else if (bpf_is_branch(insn)) {
            live->regs |= dst;
            if (BPF_SRC(insn->code) == BPF_X)
                live->regs |= src;
        } else if (bpf_is_exit(insn)) {
            live->regs = bit_of(BPF_R0);
        }
        break;
    }
}

static void join_live(const struct verifier *v, uint32_t slot, struct live *live)
{
    live->regs |= v->info[slot].live_regs;
    live->low |= v->info[slot].live_low;
    live->high |= v->info[slot].live_high;
}

static bool step_back(struct verifier *v, uint32_t slot, const struct stack_access *access)
{
    const struct bpf_insn *insn = &v->prog->insns[slot];
    struct slot_info *info = &v->info[slot];
    struct live live = {0, 0, 0};
    uint64_t low = 0, high = 0;

    if (!bpf_is_exit(insn) && !bpf_is_ja(insn))
        join_live(v, slot + (bpf_is_lddw(insn) ? 2u : 1u), &live);
    if (bpf_is_ja(insn) || bpf_is_branch(insn))
        join_live(v, (uint32_t)bpf_jump_target(insn, slot), &live);
    before(insn, &live);
    live.regs &= 0x3ffu;
    switch (access->kind) {
    case ACCESS_READ: verifier_mark_slots(access->off, access->size, false, &live.low, &live.high); break;
    case ACCESS_WRITE:
        verifier_mark_slots(access->off, access->size, true, &low, &high);
        live.low &= ~low;
        live.high &= ~high;
        break;
    case ACCESS_READ_ALL:
        live.low = UINT64_MAX;
        live.high = UINT64_MAX;
        break;
    default: break;
    }
    if (live.regs == info->live_regs && live.low == info->live_low && live.high == info->live_high)
        return false;
    info->live_regs = (uint16_t)live.regs;
    info->live_low = live.low;
    info->live_high = live.high;
    return true;
}

bool verifier_program_loops(const struct verifier *v)
{
    for (uint32_t slot = 0; slot < v->prog->slots; slot++) {
        const struct bpf_insn *insn = &v->prog->insns[slot];

        if ((v->info[slot].flags & SLOT_TAIL) == 0 && (bpf_is_ja(insn) || bpf_is_branch(insn)) &&
            bpf_jump_target(insn, slot) <= (int64_t)slot) {
            return true;
        }
    }
    return false;
}

void verifier_find_liveness(struct verifier *v, void *scratch_memory)
{
    const struct bpf_prog *prog = v->prog;
    bool loops = verifier_program_loops(v), again = true;

    memset(scratch_memory, 0, verifier_liveness_scratch_size(prog->slots));
    struct scratch scratch;
    scratch.access = scratch_memory;
    scratch.points = (struct points *)(void *)(scratch.access + prog->slots);
    find_points(v, &scratch);
    while (again) { /* live sets only grow, so this ends; without loops one pass is exact */
        again = false;
        for (uint32_t slot = prog->slots; slot-- > 0;) {
            if (!(v->info[slot].flags & SLOT_TAIL) && step_back(v, slot, &scratch.access[slot]))
                again = loops;
        }
    }
}
