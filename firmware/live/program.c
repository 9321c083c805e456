/* Loaded programs: out of a sealed image into maps, verified instructions, and code. */
#include <string.h>

#include "channel/channel.h"
#include "kernel/kernel.h"
#include "live/arena.h"
#include "live/live.h"
#include "live/plant.h"

#define CODE_GRAIN     PAGE_SIZE /* a page of code belongs to one program */
#define WORST_PER_SLOT 96u       /* bytes of A64 that one slot may become */
#define WORST_EXTRA    1024u
#define CALL_ALLOWANCE 64u /* instructions of trampoline and prologue in an invocation's bound */
#define BOUND_FACTOR   2u  /* interrupts and slow memory on silicon */
#define BOUND_MIN_NS   100000u
#define BOUND_MAX_NS   1000000000u
#define INSN_LDDW      0x18u

struct pool code_memory;
static struct program programs[PROGRAMS_MAX];
static uint32_t next_handle;

#define fail(error, number, ...)                                                                             \
    ((error)->status = (uint16_t)(number),                                                                   \
     (void)format((error)->text, (uint32_t)sizeof((error)->text), __VA_ARGS__), false)

void programs_init(void)
{
    memset(programs, 0, sizeof(programs));
    next_handle = 1;
    pool_init(&code_memory, JIT_VA, JIT_SIZE, CODE_GRAIN);
    if (bpf_verify_arena_size() > ARENA_VERIFIER_SIZE)
        panic("live: the verifier asks for more than its part of the arena");
}

struct program *program_find(uint32_t handle)
{
    for (uint32_t i = 0; handle != 0 && i < PROGRAMS_MAX; i++) {
        if (programs[i].handle == handle)
            return &programs[i];
    }
    return NULL;
}

uint32_t programs_loaded(void)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < PROGRAMS_MAX; i++)
        count += programs[i].handle != 0;
    return count;
}

/* ---- binding: instructions and code for one set of maps ----------------------------------------------------------- */

/* Writes the addresses of the binding's maps into its instructions, where the image refers to maps. */
static bool bind_maps(const struct program *program, struct binding *binding, struct load_error *error)
{
    const struct bpf_insn *original = program->original;
    for (uint32_t i = 0; i < program->bpf.slots; i += original[i].code == INSN_LDDW ? 2 : 1) {
        uint32_t kind = original[i].regs >> 4;
        if (original[i].code != INSN_LDDW || kind == 0)
            continue;
        if (kind > 2 || i + 1 >= program->bpf.slots || (uint32_t)original[i].imm >= program->bpf.map_count)
            return fail(error, ASSAY_STATUS_BAD_IMAGE, "slot %u: expected: a reference to one of %u maps", i,
                        program->bpf.map_count);
        struct bpf_map *map = binding->maps[original[i].imm]->map;
        uint64_t address = (uint64_t)(uintptr_t)map;
        if (kind == 2)
            address = (uint64_t)(uintptr_t)bpf_map_values(map) + (uint32_t)original[i + 1].imm;
        binding->insns[i].regs = original[i].regs & 0xfu;
        binding->insns[i].imm = (int32_t)(uint32_t)address;
        binding->insns[i + 1].imm = (int32_t)(uint32_t)(address >> 32);
    }
    return true;
}

static uint32_t plant_size(const struct program *program, const struct binding *binding)
{
#ifdef ASSAY_TESTING
    uint32_t plants = ASSAY_IMAGE_FLAG_PLANT_FAULT | ASSAY_IMAGE_FLAG_PLANT_OVERRUN;
    return (program->flags & plants) != 0 && binding == &program->live ? PLANT_BYTES : 0;
#else
    (void)program, (void)binding;
    return 0;
#endif
}

/* The longest an invocation may take: the verified bound in A64 instructions, at 1 ns each, with a margin. */
static void set_bound(struct program *program)
{
    uint64_t wcet = program->bpf.wcet < BOUND_MAX_NS ? program->bpf.wcet : BOUND_MAX_NS;
    uint64_t bound = (wcet * program->max_per_slot + CALL_ALLOWANCE) * BOUND_FACTOR;
    bound = bound < BOUND_MIN_NS ? BOUND_MIN_NS : bound;
    program->bound_ns = bound > BOUND_MAX_NS ? BOUND_MAX_NS : bound;
    program->bound_ticks = timer_ns_to_ticks(program->bound_ns) + 1;
}

/*
 * Emits the binding's code. The JIT writes into the arena; the result is copied through the non-executable alias,
 * which is unmapped before the code is published (memory.h). Replaces code that the binding had.
 */
static bool emit(struct program *program, struct binding *binding, struct load_error *error)
{
    uint8_t *scratch = arena_pool() + ARENA_EMIT_OFFSET;
    uint32_t plant = plant_size(program, binding);
    size_t room = (size_t)program->bpf.slots * WORST_PER_SLOT + WORST_EXTRA + plant;
    size_t largest = pool_largest(&code_memory);
    room = room < largest ? room : largest;
    room = room < ARENA_EMIT_SIZE ? room : ARENA_EMIT_SIZE;
    uintptr_t code = room <= plant ? 0 : pool_take(&code_memory, room);
    if (code == 0)
        return fail(error, ASSAY_STATUS_NO_MEMORY, "the JIT region (2 MiB) is full: unload programs");

    struct bpf_prog bound = program->bpf;
    bound.insns = binding->insns;
    for (uint32_t i = 0; i < bound.map_count; i++)
        bound.maps[i] = binding->maps[i]->map;
    struct bpf_jit_result result = {0};
    if (!bpf_jit_arm64(&bound, scratch + plant, room - plant, code + plant, NULL, &result)) {
        pool_give(&code_memory, code);
        return fail(error, ASSAY_STATUS_JIT_FAILED, "slot %u: %s", result.slot,
                    result.error == NULL ? "no reason given" : result.error);
    }
#ifdef ASSAY_TESTING
    if (plant != 0)
        plant_write(scratch, program);
#endif
    pool_shrink(&code_memory, code, plant + result.bytes);
    if (!code_write(code, scratch, plant + result.bytes))
        panic("live: code outside the JIT region");
    if (binding->code != 0)
        pool_give(&code_memory, binding->code);
    binding->code = code;
    binding->code_bytes = plant + result.bytes;
    program->max_per_slot =
        result.max_per_slot > program->max_per_slot ? result.max_per_slot : program->max_per_slot;
    set_bound(program);
    return true;
}

static void release_binding(struct binding *binding)
{
    for (uint32_t i = 0; i < BPF_MAX_MAPS; i++) {
        maps_drop(binding->maps[i]);
        binding->maps[i] = NULL;
    }
    if (binding->code != 0)
        pool_give(&code_memory, binding->code);
    binding->code = 0;
    binding->code_bytes = 0;
}

/*
 * Called by handlers only, between invocations. Cores other than the boot core are parked and never run a hook
 * (kernel.h), so that no core is inside a program is all there is to a grace period; a broken promise shows here.
 */
void program_free(struct program *program)
{
    for (uint32_t core = 0; core < CPU_MAX; core++) {
        if (cpus[core].live != NULL)
            panic("live: a program is freed while a core runs one");
    }
    release_binding(&program->live);
    release_binding(&program->trial);
    memset(program, 0, sizeof(*program));
    /* The code's pages may be written again: drop what this core has fetched of them (DESIGN: deploy unit). */
    __asm__ volatile("isb" : : : "memory");
}

/* ---- loading ------------------------------------------------------------------------------------------------------ */

static struct live_map *map_for(const struct bpf_map_def *def, const struct program *deployed,
                                const uint8_t *init, size_t init_size, struct map_refusal *refusal)
{
    for (uint32_t i = 0; deployed != NULL && i < deployed->bpf.map_count; i++) {
        struct live_map *map = deployed->live.maps[i];
        if (maps_inheritable(map, def)) {
            maps_hold(map);
            return map;
        }
    }
    return maps_create(def, init_size == 0 ? NULL : init, init_size, refusal);
}

static bool take_maps(struct program *program, const struct image *image, struct load_error *error)
{
    const struct program *deployed = config_program_at(program->slot);
    for (uint32_t i = 0; i < image->header->map_count; i++) {
        const struct assay_image_map *want = &image->maps[i];
        struct bpf_map_def *def = &program->defs[i];
        struct map_refusal refusal = {0};
        memcpy(def->name, want->name, sizeof(def->name));
        def->type = want->type;
        def->key_size = want->key_size;
        def->value_size = want->value_size;
        def->max_entries = want->max_entries;
        def->flags = want->flags;
        struct live_map *map =
            map_for(def, deployed, image->rodata + want->init_offset, want->init_size, &refusal);
        if (map == NULL)
            return fail(error, refusal.status, "map %s: %s", def->name, refusal.reason);
        program->live.maps[i] = map;
        program->bpf.maps[i] = map->map;
        program->bpf.map_count = i + 1;
    }
    return true;
}

static bool take_image(struct program *program, const uint8_t *bytes, size_t size, struct load_error *error)
{
    struct image image;
    struct image_refusal refusal;
    if (!image_unseal(bytes, size, build_public_key, &image, &refusal))
        return fail(error, refusal.status, "image: %s: expected: %s, seen: 0x%lx", refusal.what,
                    refusal.expected, (unsigned long)refusal.seen);
    const struct assay_image_header *header = image.header;
    struct program_memory *memory = arena_program((uint32_t)(program - programs));
    program->slot = (struct slot){header->hook, header->priority};
    program->flags = header->flags;
    program->seed = header->seed;
    memcpy(program->name, header->name, sizeof(program->name));
    program->original = memory->original;
    program->live.insns = memory->live;
    program->trial.insns = memory->trial;
    memcpy(program->original, image.code, header->code_size);
    memcpy(program->live.insns, image.code, header->code_size);
    memset(memory->slot_flags, 0, header->code_size / 8);
    program->bpf = (struct bpf_prog){
        .insns = program->live.insns,
        .slots = header->code_size / 8,
        .hook = (enum bpf_hook)header->hook,
        .test_mem_size = header->hook == ASSAY_HOOK_TEST ? header->test_mem_size : 0,
        .slot_flags = memory->slot_flags,
    };
    program->clean_calls = header->hook == ASSAY_HOOK_TEST ? 0 : header->test_mem_size;
    program->calls_left = program->clean_calls;
    return take_maps(program, &image, error);
}

static bool verify(struct program *program, struct load_error *error)
{
#ifdef ASSAY_TESTING
    if ((program->flags & ASSAY_IMAGE_FLAG_SKIP_VERIFY) != 0) {
        plant_accept_unverified(program);
        return bind_maps(program, &program->live, error);
    }
#endif
    if (bpf_verify(&program->bpf, arena_pool(), ARENA_VERIFIER_SIZE, &program->verdict))
        return true;
    program->verdict.reason[BPF_REASON_SIZE - 1] = '\0';
    return fail(error, ASSAY_STATUS_VERIFY_REFUSED, "%s", program->verdict.reason);
}

static bool load(struct program *program, const uint8_t *image, size_t size, struct load_cost *cost,
                 struct load_error *error)
{
    uint64_t window = pmu_begin();
    bool good = take_image(program, image, size, error);
    cost->unseal = pmu_end(window);
    if (!good)
        return false;
    window = pmu_begin();
    good = verify(program, error);
    cost->verify = pmu_end(window);
    if (!good)
        return false;
    window = pmu_begin();
    good = emit(program, &program->live, error);
    cost->jit = pmu_end(window);
    return good;
}

struct program *program_load(const uint8_t *image, size_t size, struct load_cost *cost,
                             struct load_error *error)
{
    uint32_t i = 0;
    while (i < PROGRAMS_MAX && programs[i].handle != 0)
        i++;
    if (i == PROGRAMS_MAX) {
        (void)fail(error, ASSAY_STATUS_NO_MEMORY, "expected: at most %u programs loaded; unload some",
                   PROGRAMS_MAX);
        return NULL;
    }
    struct program *program = &programs[i];
    program->handle = next_handle;
    if (!load(program, image, size, cost, error)) {
        program_free(program);
        return NULL;
    }
    next_handle++;
    return program;
}

/* ---- trial maps and inherited maps --------------------------------------------------------------------------------- */

/* Frozen maps never change, so the trial shares them. */
static struct live_map *trial_map(struct program *program, uint32_t i, struct map_refusal *refusal)
{
    if ((program->defs[i].flags & BPF_MAP_RDONLY_PROG) == 0)
        return maps_create(&program->defs[i], NULL, 0, refusal);
    maps_hold(program->live.maps[i]);
    return program->live.maps[i];
}

bool program_prepare_trial(struct program *program, struct load_error *error)
{
    struct binding *trial = &program->trial;
    if (trial->code != 0)
        return true;
    for (uint32_t i = 0; i < program->bpf.map_count; i++) {
        struct map_refusal refusal = {0};
        trial->maps[i] = trial_map(program, i, &refusal);
        if (trial->maps[i] == NULL) {
            release_binding(trial);
            return fail(error, refusal.status, "trial map %s: %s", program->defs[i].name, refusal.reason);
        }
    }
    memcpy(trial->insns, program->live.insns, (size_t)program->bpf.slots * sizeof(struct bpf_insn));
    if (bind_maps(program, trial, error) && emit(program, trial, error))
        return true;
    release_binding(trial);
    return false;
}

/* The deployed program's map that takes the place of map i, or null when there is none or it is there already. */
static struct live_map *inherited(const struct program *program, uint32_t i, const struct program *deployed)
{
    for (uint32_t j = 0; j < deployed->bpf.map_count; j++) {
        struct live_map *map = deployed->live.maps[j];
        if (maps_inheritable(map, &program->defs[i]))
            return map == program->live.maps[i] ? NULL : map;
    }
    return NULL;
}

bool program_inherit(struct program *program, const struct program *deployed, struct load_error *error)
{
    struct live_map *own[BPF_MAX_MAPS] = {NULL}; /* what gives way, held until the new code stands */
    bool changed = false;
    for (uint32_t i = 0; deployed != NULL && deployed != program && i < program->bpf.map_count; i++) {
        struct live_map *map = inherited(program, i, deployed);
        if (map == NULL)
            continue;
        maps_hold(map);
        own[i] = program->live.maps[i];
        program->live.maps[i] = map;
        changed = true;
    }
    if (!changed)
        return true;
    bool good = bind_maps(program, &program->live, error) && emit(program, &program->live, error);
    for (uint32_t i = 0; i < program->bpf.map_count; i++) {
        if (own[i] == NULL)
            continue;
        maps_drop(good ? own[i] : program->live.maps[i]);
        if (!good)
            program->live.maps[i] = own[i];
        program->bpf.maps[i] = program->live.maps[i]->map;
    }
    if (!good) { /* the old code stays, with the maps that it names */
        struct load_error none;
        (void)bind_maps(program, &program->live, &none);
    }
    return good;
}
