/* Common to all maps: allowed shapes, and the dispatch from a map to its kind. */
#include "map.h"

#include <string.h>

#define MAP_MAX_FOOTPRINT (16u * 1024 * 1024)

#define DECLARE(type, ops) extern const struct bpf_map_ops ops;
#define ROW(type, ops)     [type] = &(ops),
BPF_MAP_KINDS(DECLARE)
static const struct bpf_map_ops *const kinds[BPF_MAP_TYPES] = {BPF_MAP_KINDS(ROW)};

const struct bpf_map_ops *bpf_map_ops_of(uint32_t type)
{
    return type < BPF_MAP_TYPES ? kinds[type] : NULL;
}

static size_t refuse(const char **reason, const char *text)
{
    if (reason != NULL)
        *reason = text;
    return 0;
}

size_t bpf_map_footprint(const struct bpf_map_def *def, const char **reason)
{
    const struct bpf_map_ops *ops = bpf_map_ops_of(def->type);

    if (def->flags & ~(BPF_MAP_RDONLY_PROG | BPF_MAP_FRESH))
        return refuse(reason, "map flags: only RDONLY_PROG (0x80) and FRESH (0x80000000) are known");
    if (def->max_entries == 0 || def->max_entries > BPF_MAX_ENTRIES)
        return refuse(reason, "map max_entries: expected 1 to 1048576");
    if (def->value_size == 0 || def->value_size > BPF_MAX_VALUE_SIZE)
        return refuse(reason, "map value_size: expected 1 to 65536 bytes");
    if (ops == NULL)
        return refuse(reason, "map type: expected " BPF_MAP_KINDS_TEXT);
    if ((def->flags & BPF_MAP_RDONLY_PROG) != 0 && ops->fill == NULL)
        return refuse(reason, "map flags: RDONLY_PROG is not for maps of this kind");
    size_t bytes = ops->footprint(def, reason);
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
    map->ops = bpf_map_ops_of(def->type);
    map->ops->init(map);
    if (init != NULL)
        map->ops->fill(map, init, init_size);
    return map;
}

/* A frozen map never changes, so there is nothing to bring back. */
void bpf_map_clear(struct bpf_map *map)
{
    if (!bpf_map_is_frozen(map))
        map->ops->clear(map);
}

const struct bpf_map_def *bpf_map_def_of(const struct bpf_map *map)
{
    return &map->def;
}

bool bpf_map_is_inherited(const struct bpf_map *map)
{
    return !bpf_map_is_frozen(map) && (map->ops->capabilities & BPF_MAP_INHERITED) != 0;
}

void *bpf_map_lookup(struct bpf_map *map, const void *key)
{
    return map->ops->lookup(map, key);
}

int64_t bpf_map_update(struct bpf_map *map, const void *key, const void *value, uint64_t flags)
{
    if (bpf_map_is_frozen(map))
        return -BPF_EPERM;
    if (flags > BPF_EXIST)
        return -BPF_EINVAL;
    return map->ops->update(map, key, value, flags);
}

int64_t bpf_map_delete(struct bpf_map *map, const void *key)
{
    if (bpf_map_is_frozen(map))
        return -BPF_EPERM;
    return map->ops->remove == NULL ? -BPF_EINVAL : map->ops->remove(map, key);
}

uint32_t bpf_map_next(struct bpf_map *map, uint32_t cursor, const void **key, const void **value)
{
    return map->ops->next(map, cursor, key, value);
}

void *bpf_map_values(struct bpf_map *map)
{
    return (map->ops->capabilities & BPF_MAP_DIRECT_VALUES) != 0 ? map->base : NULL;
}

bool bpf_map_holds(const struct bpf_map *map, uint64_t address, uint32_t size)
{
    uint64_t base = (uint64_t)(uintptr_t)map->base;

    if (address < base || address - base >= (uint64_t)map->stride * map->def.max_entries)
        return false;
    uint64_t within = (address - base) % map->stride;
    if (within < map->value_offset)
        return false;
    within -= map->value_offset;
    return within + size <= map->def.value_size;
}
