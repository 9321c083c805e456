/* Refcounted maps in the map pool. */
#ifndef ASSAY_LIVE_MAPS_H
#define ASSAY_LIVE_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/bpf.h"
#include "live/pool.h"
#include "live/refusal.h"

#define LIVE_MAPS_MAX 256u

/* A map with its references. Known by (slot, name, shape); its memory, so every value's address, never moves. */
struct live_map {
    uint32_t refs; /* 0: free entry */
    struct bpf_map *map;
};

/* The memory of all maps. */
extern struct pool maps_pool;

void maps_init(void);

/*
 * A new map with one reference; null: *refusal says why, BAD_IMAGE for what no kernel would take and NO_MEMORY for
 * what does not fit now, in words that begin with `what` and the map's name. `init` is the initial value of a frozen
 * map, or null.
 */
struct live_map *maps_create(const struct bpf_map_def *def, const void *init, size_t init_size,
                             const char *what, struct refusal *refusal);

void maps_hold(struct live_map *map);
void maps_drop(struct live_map *map); /* null is fine */

/* True when `map` may serve where `def` is asked for: same name and shape, neither frozen nor fresh. */
bool maps_inheritable(const struct live_map *map, const struct bpf_map_def *def);

#endif
