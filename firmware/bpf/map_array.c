/* Array maps: max_entries values that always exist, each 8-byte aligned, indexed by a 32-bit key. */
#include "map.h"

#include <string.h>

#define ARRAY_COST 32u

struct array_state {
    uint32_t key; /* where array_next keeps the key it points at */
};
_Static_assert(sizeof(struct array_state) <= sizeof(((struct bpf_map *)0)->state), "state of a map");

static size_t array_footprint(const struct bpf_map_def *def, const char **reason)
{
    if (def->key_size != 4) {
        if (reason != NULL)
            *reason = "array map key_size: expected 4 bytes (a 32-bit index)";
        return 0;
    }
    return BPF_MAP_HEADER_SIZE + (size_t)def->max_entries * bpf_round_up_8(def->value_size);
}

static void array_clear(struct bpf_map *map)
{
    memset(map->base, 0, (size_t)map->stride * map->def.max_entries);
}

static void array_init(struct bpf_map *map)
{
    map->stride = bpf_round_up_8(map->def.value_size);
    array_clear(map);
}

static void array_fill(struct bpf_map *map, const void *init, size_t size)
{
    for (size_t done = 0, i = 0; done < size; i++, done += map->def.value_size) {
        size_t left = size - done;

        memcpy(map->base + i * map->stride, (const uint8_t *)init + done,
               left < map->def.value_size ? left : map->def.value_size);
    }
}

static void *array_lookup(struct bpf_map *map, const void *key)
{
    uint32_t index = 0;

    __builtin_memcpy(&index, key, 4);
    if (index >= map->def.max_entries)
        return NULL;
    return map->base + (size_t)index * map->stride;
}

static int64_t array_update(struct bpf_map *map, const void *key, const void *value, uint64_t flags)
{
    uint8_t *at = array_lookup(map, key);

    if (at == NULL)
        return -BPF_E2BIG;
    if (flags == BPF_NOEXIST)
        return -BPF_EEXIST;
    bpf_copy(at, value, map->def.value_size);
    return 0;
}

static uint32_t array_next(struct bpf_map *map, uint32_t cursor, const void **key, const void **value)
{
    struct array_state *state = (struct array_state *)(void *)map->state;

    if (cursor >= map->def.max_entries)
        return 0;
    state->key = cursor;
    *key = &state->key;
    *value = map->base + (size_t)cursor * map->stride;
    return cursor + 1;
}

/* An index and a bound: the same for each operation. */
static uint32_t array_cost(const struct bpf_map_def *def, const struct bpf_helper *helper)
{
    (void)def, (void)helper;
    return ARRAY_COST;
}

const struct bpf_map_ops bpf_map_array_ops = {
    .capabilities = BPF_MAP_DIRECT_VALUES | BPF_MAP_INHERITED,
    .footprint = array_footprint,
    .init = array_init,
    .clear = array_clear,
    .fill = array_fill,
    .lookup = array_lookup,
    .update = array_update,
    .next = array_next,
    .cost = array_cost,
};
