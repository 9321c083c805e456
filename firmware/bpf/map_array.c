/* Array maps: max_entries values that always exist, each 8-byte aligned, indexed by a 32-bit key. */
#include "map.h"

#include <string.h>

size_t bpf_array_footprint(const struct bpf_map_def *def, const char **reason)
{
    if (def->key_size != 4) {
        if (reason != NULL)
            *reason = "array map key_size: expected 4 bytes (a 32-bit index)";
        return 0;
    }
    return BPF_MAP_HEADER_SIZE + (size_t)def->max_entries * bpf_round_up_8(def->value_size);
}

void bpf_array_init(struct bpf_map *map)
{
    map->stride = bpf_round_up_8(map->def.value_size);
    bpf_array_clear(map);
}

void bpf_array_clear(struct bpf_map *map)
{
    memset(map->base, 0, (size_t)map->stride * map->def.max_entries);
}

void *bpf_array_lookup(struct bpf_map *map, const void *key)
{
    uint32_t index = 0;

    __builtin_memcpy(&index, key, 4);
    if (index >= map->def.max_entries)
        return NULL;
    return map->base + (size_t)index * map->stride;
}

int64_t bpf_array_update(struct bpf_map *map, const void *key, const void *value, uint64_t flags)
{
    uint8_t *at = bpf_array_lookup(map, key);

    if (at == NULL)
        return -BPF_E2BIG;
    if (flags == BPF_NOEXIST)
        return -BPF_EEXIST;
    bpf_copy(at, value, map->def.value_size);
    return 0;
}

uint32_t bpf_array_next(struct bpf_map *map, uint32_t cursor, const void **key, const void **value)
{
    if (cursor >= map->def.max_entries)
        return 0;
    map->cursor_key = cursor;
    *key = &map->cursor_key;
    *value = map->base + (size_t)cursor * map->stride;
    return cursor + 1;
}
