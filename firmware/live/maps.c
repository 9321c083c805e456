/* Refcounted maps in the map pool. */
#include "live/maps.h"

#include <string.h>

#include "assay_messages.h"
#include "kernel/memory.h"

#define MAP_GRAIN 64u

struct pool maps_pool;
static struct live_map table[LIVE_MAPS_MAX];

void maps_init(void)
{
    pool_init(&maps_pool, MAP_POOL_VA, MAP_POOL_SIZE, MAP_GRAIN);
    memset(table, 0, sizeof(table));
}

/* A free entry with a map in it; null: *reason (static text) says why, *status under which status. */
static struct live_map *make(const struct bpf_map_def *def, const void *init, size_t init_size,
                             uint16_t *status, const char **reason)
{
    *status = ASSAY_STATUS_BAD_IMAGE;
    *reason = "this shape is refused";
    size_t footprint = bpf_map_footprint(def, reason);
    if (footprint == 0)
        return NULL;
    *status = ASSAY_STATUS_NO_MEMORY;
    *reason = "expected: at most 256 maps at a time; unload programs";
    uint32_t i = 0;
    while (i < LIVE_MAPS_MAX && table[i].refs != 0)
        i++;
    if (i == LIVE_MAPS_MAX)
        return NULL;
    *reason = "the map pool (4 MiB) has no room for it: unload programs or use smaller maps";
    uintptr_t memory = pool_take(&maps_pool, footprint);
    if (memory == 0)
        return NULL;
    *status = ASSAY_STATUS_BAD_IMAGE;
    *reason = "an initial value is for frozen array maps, and at most as large as the map";
    table[i].map = bpf_map_init((void *)memory, def, init, init_size);
    if (table[i].map == NULL) {
        pool_give(&maps_pool, memory);
        return NULL;
    }
    return &table[i];
}

struct live_map *maps_create(const struct bpf_map_def *def, const void *init, size_t init_size,
                             const char *what, struct refusal *refusal)
{
    uint16_t status;
    const char *reason;
    struct live_map *map = make(def, init, init_size, &status, &reason);
    if (map == NULL)
        (void)refuse(refusal, status, "%s %s: %s", what, def->name, reason);
    else
        map->refs = 1;
    return map;
}

void maps_hold(struct live_map *map)
{
    map->refs++;
}

void maps_drop(struct live_map *map)
{
    if (map == NULL || map->refs == 0)
        return;
    if (--map->refs == 0) {
        pool_give(&maps_pool, (uintptr_t)map->map);
        map->map = NULL;
    }
}

bool maps_inheritable(const struct live_map *map, const struct bpf_map_def *def)
{
    const struct bpf_map_def *have = bpf_map_def_of(map->map);
    uint32_t own = BPF_MAP_FRESH | BPF_MAP_RDONLY_PROG;
    return (def->flags & own) == 0 && bpf_map_is_inherited(map->map) &&
           (have->flags & ~BPF_MAP_FRESH) == def->flags && have->type == def->type &&
           have->key_size == def->key_size && have->value_size == def->value_size &&
           have->max_entries == def->max_entries && memcmp(have->name, def->name, sizeof(def->name)) == 0;
}
