/* The operations of eBPF programs. Emission and relocation are in program_code.c. */
#include "live/program.h"

#include <string.h>

#include "kernel/kernel.h"
#include "live/arena.h"
#include "live/code.h"
#include "live/config.h"
#include "live/plant.h"
#include "live/program_code.h"

#define UNVERIFIED_FUEL 1000000u

static struct program programs[EXTENSIONS_MAX];

static struct program *program_of(const struct extension *extension)
{
    return extension->own;
}

void programs_init(void)
{
    memset(programs, 0, sizeof(programs));
    code_pool_init();
    if (bpf_verify_arena_size() > ARENA_VERIFIER_SIZE)
        panic("live: the verifier asks for more than its part of the arena");
}

/* ---- loading ------------------------------------------------------------------------------------------------------ */

static struct live_map *map_for(const struct bpf_map_def *def, const struct program *deployed,
                                const uint8_t *init, size_t init_size, struct refusal *refusal)
{
    const struct program_binding *theirs = deployed == NULL ? NULL : &deployed->bindings[EXTENSION_LIVE];
    for (uint32_t i = 0; theirs != NULL && i < theirs->bpf.map_count; i++) {
        if (maps_inheritable(theirs->maps[i], def)) {
            maps_hold(theirs->maps[i]);
            return theirs->maps[i];
        }
    }
    return maps_create(def, init_size == 0 ? NULL : init, init_size, "map", refusal);
}

/* The program that is deployed in the slot, or null: a slot may be taken by another kind. */
static const struct program *deployed_program(const struct extension *deployed)
{
    return deployed != NULL && deployed->ops == &program_ops ? program_of(deployed) : NULL;
}

static bool take_maps(struct program *program, const struct image *image, struct refusal *refusal)
{
    const struct program *deployed = deployed_program(config_extension_at(program->extension->slot));
    struct program_binding *live = &program->bindings[EXTENSION_LIVE];
    for (uint32_t i = 0; i < image->header->map_count; i++) {
        const struct assay_image_map *want = &image->maps[i];
        struct bpf_map_def *def = &program->defs[i];
        memcpy(def->name, want->name, sizeof(def->name));
        def->type = want->type;
        def->key_size = want->key_size;
        def->value_size = want->value_size;
        def->max_entries = want->max_entries;
        def->flags = want->flags;
        live->maps[i] = map_for(def, deployed, image->rodata + want->init_offset, want->init_size, refusal);
        if (live->maps[i] == NULL)
            return false;
        live->bpf.maps[i] = live->maps[i]->map;
        live->bpf.map_count = i + 1;
    }
    return true;
}

static bool program_load(struct extension *extension, const struct image *image, struct refusal *refusal)
{
    const struct assay_image_header *header = image->header;
    struct program *program = &programs[extension_index(extension)];
    struct program_memory *memory = arena_program(extension_index(extension));
    memcpy(memory->original, image->code, header->code_size);
    memcpy(memory->live, image->code, header->code_size);
    memset(memory->slot_flags, 0, header->code_size / 8);
    extension->own = program;
    program->extension = extension;
    program->original = memory->original;
    program->bindings[EXTENSION_LIVE].bpf = (struct bpf_prog){
        .insns = memory->live,
        .slots = header->code_size / 8,
        .hook = (enum bpf_hook)header->hook,
        .test_mem_size = extension->test_mem_size,
        .slot_flags = memory->slot_flags,
    };
    program->clean_calls = bpf_hook_in(BPF_HOOKS_WITH_MEMORY, header->hook) ? 0 : header->test_mem_size;
    program->calls_left = program->clean_calls;
    return take_maps(program, image, refusal);
}

static bool program_verify(struct extension *extension, struct refusal *refusal)
{
    struct program *program = program_of(extension);
    struct program_binding *live = &program->bindings[EXTENSION_LIVE];
#ifdef ASSAY_TESTING
    if ((extension->flags & ASSAY_IMAGE_FLAG_SKIP_VERIFY) != 0) {
        plant_accept_unverified(&live->bpf);
        return program_relocate(program, live, refusal);
    }
#endif
    if (bpf_verify(&live->bpf, arena_pool(), ARENA_VERIFIER_SIZE, &program->verdict))
        return true;
    program->verdict.reason[BPF_REASON_SIZE - 1] = '\0';
    return refuse(refusal, ASSAY_STATUS_VERIFY_REFUSED, "%s", program->verdict.reason);
}

static bool program_emit_live(struct extension *extension, struct refusal *refusal)
{
    return program_emit(program_of(extension), EXTENSION_LIVE, refusal);
}

static void program_describe(const struct extension *extension, struct assay_load_response *out)
{
    const struct program *program = program_of(extension);
    const struct bpf_prog *bpf = &program->bindings[EXTENSION_LIVE].bpf;
    out->slots = bpf->slots;
    out->map_count = bpf->map_count;
    out->wcet = bpf->wcet;
    out->stack_bytes = bpf->stack_bytes;
    out->processed = program->verdict.processed;
    out->peak_states = program->verdict.peak_states;
}

static void release(struct program *program, enum extension_state state)
{
    struct program_binding *binding = &program->bindings[state];
    for (uint32_t i = 0; i < BPF_MAX_MAPS; i++) {
        maps_drop(binding->maps[i]);
        binding->maps[i] = NULL;
    }
    program_drop_code(program, state);
}

static void program_free(struct extension *extension)
{
    struct program *program = program_of(extension);
    release(program, EXTENSION_LIVE);
    release(program, EXTENSION_TRIAL);
    memset(program, 0, sizeof(*program));
}

/* ---- the trial's own state ---------------------------------------------------------------------------------------- */

/* Frozen maps never change, so the trial shares them. */
static struct live_map *trial_map(struct program *program, uint32_t i, struct refusal *refusal)
{
    if ((program->defs[i].flags & BPF_MAP_RDONLY_PROG) == 0)
        return maps_create(&program->defs[i], NULL, 0, "trial map", refusal);
    maps_hold(program->bindings[EXTENSION_LIVE].maps[i]);
    return program->bindings[EXTENSION_LIVE].maps[i];
}

static bool prepare_trial(struct program *program, struct refusal *refusal)
{
    const struct bpf_prog *live = &program->bindings[EXTENSION_LIVE].bpf;
    struct program_binding *trial = &program->bindings[EXTENSION_TRIAL];
    trial->bpf = *live;
    trial->bpf.insns = arena_program(extension_index(program->extension))->trial;
    for (uint32_t i = 0; i < live->map_count; i++) {
        trial->maps[i] = trial_map(program, i, refusal);
        if (trial->maps[i] == NULL)
            return false;
        trial->bpf.maps[i] = trial->maps[i]->map;
    }
    memcpy(trial->bpf.insns, live->insns, (size_t)live->slots * sizeof(struct bpf_insn));
    return program_relocate(program, trial, refusal) && program_emit(program, EXTENSION_TRIAL, refusal);
}

static bool program_trial(struct extension *extension, struct refusal *refusal)
{
    if (extension->bindings[EXTENSION_TRIAL].entry != 0)
        return true;
    bool good = prepare_trial(program_of(extension), refusal);
    if (!good)
        release(program_of(extension), EXTENSION_TRIAL);
    return good;
}

/* ---- inherited maps ----------------------------------------------------------------------------------------------- */

/* The deployed program's map that takes the place of map i, or null when there is none or it is there already. */
static struct live_map *inherited(const struct program *program, uint32_t i, const struct program *deployed)
{
    const struct program_binding *theirs = &deployed->bindings[EXTENSION_LIVE];
    for (uint32_t j = 0; j < theirs->bpf.map_count; j++) {
        if (maps_inheritable(theirs->maps[j], &program->defs[i]))
            return theirs->maps[j] == program->bindings[EXTENSION_LIVE].maps[i] ? NULL : theirs->maps[j];
    }
    return NULL;
}

/* Puts the maps of `other` (null: nothing to change) in, and hands what gives way back in their places. */
static void exchange(struct program_binding *live, struct live_map *other[BPF_MAX_MAPS])
{
    for (uint32_t i = 0; i < live->bpf.map_count; i++) {
        if (other[i] == NULL)
            continue;
        struct live_map *own = live->maps[i];
        live->maps[i] = other[i];
        live->bpf.maps[i] = other[i]->map;
        other[i] = own;
    }
}

/* Shares the maps that `deployed` holds, and emits the code anew for them. */
static bool inherit(struct program *program, const struct program *deployed, struct refusal *refusal)
{
    struct program_binding *live = &program->bindings[EXTENSION_LIVE];
    struct live_map *other[BPF_MAX_MAPS] = {NULL};
    bool changed = false;
    for (uint32_t i = 0; i < live->bpf.map_count; i++) {
        other[i] = inherited(program, i, deployed);
        if (other[i] == NULL)
            continue;
        maps_hold(other[i]);
        changed = true;
    }
    if (!changed)
        return true;
    exchange(live, other);
    bool good = program_relocate(program, live, refusal) && program_emit(program, EXTENSION_LIVE, refusal);
    if (!good) { /* the old code stays, with the maps that it names */
        struct refusal none;
        exchange(live, other);
        (void)program_relocate(program, live, &none);
    }
    for (uint32_t i = 0; i < live->bpf.map_count; i++)
        maps_drop(other[i]);
    return good;
}

static bool program_bind(struct extension *extension, const struct extension *deployed,
                         struct refusal *refusal)
{
    struct program *program = program_of(extension);
    const struct program *old = deployed_program(deployed);
    if (old != NULL && old != program && !inherit(program, old, refusal))
        return false;
    program->calls_left = program->clean_calls;
    return true;
}

/* ---- running ------------------------------------------------------------------------------------------------------ */

static void program_clear(struct extension *extension, enum extension_state state)
{
    const struct bpf_prog *bpf = &program_of(extension)->bindings[state].bpf;
    for (uint32_t i = 0; i < bpf->map_count; i++)
        bpf_map_clear(bpf->maps[i]);
}

static void program_interpret(struct extension *extension, enum extension_state state, void *context,
                              struct interpreted *out)
{
    static const char *const ends[] = {NULL, "out of bounds", "beyond its WCET", "at a bad instruction",
                                       "at a bad call"};
    const struct bpf_prog *bpf = &program_of(extension)->bindings[state].bpf;
    bool is_unverified = (extension->flags & ASSAY_IMAGE_FLAG_SKIP_VERIFY) != 0;
    struct bpf_run run;
    bpf_interp(bpf, context, is_unverified ? UNVERIFIED_FUEL : bpf->wcet, &run);
    *out = (struct interpreted){
        .value = run.r0, .fault = ends[run.end], .slot = run.slot, .address = run.address};
}

static struct bpf_map *program_map(const struct extension *extension, enum extension_state state,
                                   uint32_t index, uint32_t *count)
{
    const struct program *program = program_of(extension);
    *count = program->bindings[EXTENSION_LIVE].bpf.map_count;
    const struct live_map *map = index < *count ? program->bindings[state].maps[index] : NULL;
    return map == NULL ? NULL : map->map;
}

const struct extension_ops program_ops = {
    .load = program_load,
    .verify = program_verify,
    .emit = program_emit_live,
    .describe = program_describe,
    .bind = program_bind,
    .trial = program_trial,
    .clear = program_clear,
    .interpret = program_interpret,
    .map = program_map,
    .free = program_free,
};
