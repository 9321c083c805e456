/* What all maps share: which shapes are allowed, and the way from a map to its kind. */
#include "map.h"

#include <string.h>

#define MAP_MAX_FOOTPRINT (16u * 1024 * 1024)

static size_t refuse(const char **reason, const char *text)
{
    if (reason != NULL)
        *reason = text;
    return 0;
}

size_t bpf_map_footprint(const struct bpf_map_def *def, const char **reason)
{
    size_t bytes = 0;

    if (def->flags & ~(BPF_MAP_RDONLY_PROG | BPF_MAP_FRESH))
        return refuse(reason, "map flags: only RDONLY_PROG (0x80) and FRESH (0x80000000) are known");
    if (def->max_entries == 0 || def->max_entries > (1u << 20))
        return refuse(reason, "map max_entries: expected 1 to 1048576");
    if (def->value_size == 0 || def->value_size > 65536)
        return refuse(reason, "map value_size: expected 1 to 65536 bytes");
    switch (def->type) {
    case BPF_MAP_ARRAY: bytes = bpf_array_footprint(def, reason); break;
    case BPF_MAP_HASH: bytes = bpf_hash_footprint(def, reason); break;
    default: return refuse(reason, "map type: expected 1 (hash) or 2 (array)");
    }
    if (bytes > MAP_MAX_FOOTPRINT)
        return refuse(reason, "map is larger than 16 MiB: lower max_entries or value_size");
    return bytes;
}

struct bpf_map *bpf_map_init(void *memory, const struct bpf_map_def *def, const void *init, size_t init_size)
{
    struct bpf_map *map = memory;
    bool frozen = (def->flags & BPF_MAP_RDONLY_PROG) != 0;

    if (((uintptr_t)memory & 7u) != 0 || bpf_map_footprint(def, NULL) == 0)
        return NULL;
    if (init != NULL && (!frozen || init_size > (size_t)def->value_size * def->max_entries))
        return NULL;
    memset(map, 0, sizeof(*map));
    map->def = *def;
    map->def.name[sizeof(map->def.name) - 1] = '\0';
    map->base = (uint8_t *)memory + BPF_MAP_HEADER_SIZE;
    if (def->type == BPF_MAP_HASH) {
        bpf_hash_init(map);
        return map;
    }
    bpf_array_init(map);
    for (size_t done = 0, i = 0; init != NULL && done < init_size; i++, done += def->value_size) {
        size_t left = init_size - done;

        memcpy(map->base + i * map->stride, (const uint8_t *)init + done,
               left < def->value_size ? left : def->value_size);
    }
    return map;
}

/* A frozen map never changes, so there is nothing to bring back. */
void bpf_map_clear(struct bpf_map *map)
{
    if (map->def.flags & BPF_MAP_RDONLY_PROG)
        return;
    if (map->def.type == BPF_MAP_ARRAY)
        bpf_array_clear(map);
    else
        bpf_hash_clear(map);
}

const struct bpf_map_def *bpf_map_def_of(const struct bpf_map *map)
{
    return &map->def;
}

void *bpf_map_lookup(struct bpf_map *map, const void *key)
{
    if (map->def.type == BPF_MAP_ARRAY)
        return bpf_array_lookup(map, key);
    return bpf_hash_lookup(map, key);
}

int64_t bpf_map_update(struct bpf_map *map, const void *key, const void *value, uint64_t flags)
{
    if (map->def.flags & BPF_MAP_RDONLY_PROG)
        return -BPF_EPERM;
    if (flags > BPF_EXIST)
        return -BPF_EINVAL;
    if (map->def.type == BPF_MAP_ARRAY)
        return bpf_array_update(map, key, value, flags);
    return bpf_hash_update(map, key, value, flags);
}

int64_t bpf_map_delete(struct bpf_map *map, const void *key)
{
    if (map->def.flags & BPF_MAP_RDONLY_PROG)
        return -BPF_EPERM;
    if (map->def.type == BPF_MAP_ARRAY)
        return -BPF_EINVAL; /* as in Linux: an array's elements always exist */
    return bpf_hash_delete(map, key);
}

uint32_t bpf_map_next(struct bpf_map *map, uint32_t cursor, const void **key, const void **value)
{
    if (map->def.type == BPF_MAP_ARRAY)
        return bpf_array_next(map, cursor, key, value);
    return bpf_hash_next(map, cursor, key, value);
}

void *bpf_map_values(struct bpf_map *map)
{
    return map->def.type == BPF_MAP_ARRAY ? map->base : NULL;
}

bool bpf_map_holds(const struct bpf_map *map, uint64_t address, uint32_t size)
{
    uint64_t base = (uint64_t)(uintptr_t)map->base;
    uint64_t within = 0;

    if (address < base || address - base >= (uint64_t)map->stride * map->def.max_entries)
        return false;
    within = (address - base) % map->stride;
    if (within < map->value_offset)
        return false;
    within -= map->value_offset;
    return within + size <= map->def.value_size;
}
