/* Relocation and emission of eBPF programs. */
#include "live/program_code.h"

#include "bpf/relocate.h"
#include "kernel/kernel.h"
#include "live/arena.h"
#include "live/code.h"
#include "live/plant.h"

#define WORST_PER_SLOT 96u /* bytes of A64 that one slot may become */
#define WORST_EXTRA    1024u
#define CALL_ALLOWANCE 64u /* instructions of trampoline and prologue in an invocation's bound */
#define BOUND_FACTOR   2u  /* interrupts and slow memory on silicon */
#define BOUND_MIN_NS   100000u
#define BOUND_MAX_NS   1000000000u

/*
 * Where no instructions are counted an emulator runs at its host's pace: what it has not translated yet, or a processor
 * that the host has taken away, is no overrun of the program's.
 */
#define BOUND_MIN_UNCOUNTED_NS 200000000u

/*
 * What a slot refers to is read from `original`, the image's own instructions: an lddw that the verifier has rewritten
 * looks like any constant. A reference to no map is met only where the verifier was skipped.
 */
bool program_relocate(const struct program *program, struct program_binding *binding, struct refusal *refusal)
{
    const struct bpf_insn *original = program->original;
    struct bpf_prog *bpf = &binding->bpf;
    for (uint32_t i = 0; i < bpf->slots; i += bpf_is_lddw(&original[i]) ? 2 : 1) {
        if (!bpf_is_lddw(&original[i]) || bpf_src(&original[i]) == BPF_LDDW_IMM)
            continue;
        if (i + 1 >= bpf->slots || !bpf_refers_to_map(&original[i], bpf->map_count)) {
            return refuse(refusal, ASSAY_STATUS_BAD_IMAGE, "slot %u: expected: a reference to one of %u maps",
                          i, bpf->map_count);
        }
        bpf_relocate(&original[i], bpf->maps, &bpf->insns[i]);
    }
    return true;
}

static uint32_t plant_size(const struct program *program, enum extension_state state)
{
#ifdef ASSAY_TESTING
    uint32_t plants = ASSAY_IMAGE_FLAG_PLANT_FAULT | ASSAY_IMAGE_FLAG_PLANT_OVERRUN;
    return (program->extension->flags & plants) != 0 && state == EXTENSION_LIVE ? PLANT_BYTES : 0;
#else
    (void)program, (void)state;
    return 0;
#endif
}

/* The longest an invocation may take: the verified bound in A64 instructions, at 1 ns each, with a margin. */
static void set_bound(struct extension *extension, uint64_t wcet, uint32_t max_per_slot)
{
    wcet = wcet < BOUND_MAX_NS ? wcet : BOUND_MAX_NS;
    uint64_t bound = (wcet * max_per_slot + CALL_ALLOWANCE) * BOUND_FACTOR;
    uint64_t least = pmu_counts_instructions() ? BOUND_MIN_NS : BOUND_MIN_UNCOUNTED_NS;
    bound = bound < least ? least : bound;
    extension->bound_ns = bound > BOUND_MAX_NS ? BOUND_MAX_NS : bound;
    extension->bound_ticks = timer_ns_to_ticks(extension->bound_ns) + 1;
}

/*
 * The JIT writes into the arena; the result is copied through the non-executable alias, which is unmapped before the
 * code is published (memory.h).
 */
bool program_emit(struct program *program, enum extension_state state, struct refusal *refusal)
{
    const struct bpf_prog *bpf = &program->bindings[state].bpf;
    struct binding *binding = &program->extension->bindings[state];
    uint8_t *scratch = arena_pool() + ARENA_EMIT_OFFSET;
    uint32_t plant = plant_size(program, state);
    size_t room = (size_t)bpf->slots * WORST_PER_SLOT + WORST_EXTRA + plant;
    size_t largest = pool_largest(&code_pool);
    room = room < largest ? room : largest;
    room = room < ARENA_EMIT_SIZE ? room : ARENA_EMIT_SIZE;
    uintptr_t code = room <= plant ? 0 : pool_take(&code_pool, room);
    if (code == 0)
        return refuse(refusal, ASSAY_STATUS_NO_MEMORY, "the JIT region (2 MiB) is full: unload programs");

    struct bpf_jit_result result = {0};
    if (!bpf_jit_arm64(bpf, scratch + plant, room - plant, code + plant, NULL, &result)) {
        pool_give(&code_pool, code);
        return refuse(refusal, ASSAY_STATUS_JIT_FAILED, "slot %u: %s", result.slot,
                      result.error == NULL ? "no reason given" : result.error);
    }
#ifdef ASSAY_TESTING
    if (plant != 0)
        plant_write(scratch, program);
#endif
    pool_shrink(&code_pool, code, plant + result.bytes);
    if (!vm_write_code(code, scratch, plant + result.bytes))
        panic("live: code outside the JIT region");
    program_drop_code(program, state);
    *binding = (struct binding){.entry = code, .code_bytes = plant + result.bytes};
    if (result.max_per_slot > program->max_per_slot)
        program->max_per_slot = result.max_per_slot;
    set_bound(program->extension, bpf->wcet, program->max_per_slot);
    return true;
}

void program_drop_code(struct program *program, enum extension_state state)
{
    struct binding *binding = &program->extension->bindings[state];
    if (binding->entry != 0)
        pool_give(&code_pool, binding->entry);
    *binding = (struct binding){0};
}
