/* The layout of a map, for the files that implement one kind each.
 *
 * One map is touched by one core at a time, and a program never interrupts another that shares its maps: hooks run
 * with preemption off and are not nested. Nothing here takes a lock.
 */
#ifndef ASSAY_BPF_MAP_H
#define ASSAY_BPF_MAP_H

#include "bpf.h"

/* Optional capabilities of a map. */
#define BPF_MAP_DIRECT_VALUES 0x1u /* a program may point at the value of a map of one entry */
#define BPF_MAP_INHERITED     0x2u /* its contents pass to the program that replaces its own */

struct bpf_helper;

/* A kind of map. Each map_<name>.c exports one, bpf_map_<name>_ops, and nothing else. */
struct bpf_map_ops {
    uint32_t capabilities; /* BPF_MAP_DIRECT_VALUES, BPF_MAP_INHERITED */
    /* As bpf_map_footprint, for sizes and flags that any map may have. */
    size_t (*footprint)(const struct bpf_map_def *def, const char **reason);
    /* Once, over zeroed state: sets stride and what else the kind needs, and clears. */
    void (*init)(struct bpf_map *map);
    void (*clear)(struct bpf_map *map);
    void (*fill)(struct bpf_map *map, const void *init, size_t size); /* NULL: cannot be frozen */
    void *(*lookup)(struct bpf_map *map, const void *key);
    int64_t (*update)(struct bpf_map *map, const void *key, const void *value, uint64_t flags);
    int64_t (*remove)(struct bpf_map *map, const void *key); /* NULL: -EINVAL, its keys always exist */
    uint32_t (*next)(struct bpf_map *map, uint32_t cursor, const void **key, const void **value);
    /* A helper's cost on such a map but for what copying a value takes; helper->cost is that of a search. */
    uint32_t (*cost)(const struct bpf_map_def *def, const struct bpf_helper *helper);
};

struct bpf_map {
    struct bpf_map_def def;
    uint32_t stride; /* bytes from one value, with what belongs to it, to the next; a multiple of 8 */
    uint8_t *base; /* the first of them */
    const struct bpf_map_ops *ops;
    uint32_t value_offset; /* of the value within its stride */
    uint64_t state[3]; /* the kind's own */
};

/* The operations of a kind's number, or NULL. */
const struct bpf_map_ops *bpf_map_ops_of(uint32_t type);

static inline bool bpf_map_is_frozen(const struct bpf_map *map)
{
    return (map->def.flags & BPF_MAP_RDONLY_PROG) != 0;
}

/* True when a program may point at the map's value without a lookup. */
static inline bool bpf_map_is_direct(const struct bpf_map *map)
{
    return (map->ops->capabilities & BPF_MAP_DIRECT_VALUES) != 0 && map->def.max_entries == 1;
}

/* errno values of Linux's uapi that maps return, negated. */
#define BPF_EPERM  1
#define BPF_ENOENT 2
#define BPF_E2BIG  7
#define BPF_ENOMEM 12
#define BPF_EEXIST 17
#define BPF_EINVAL 22

#define BPF_ANY     0u
#define BPF_NOEXIST 1u
#define BPF_EXIST   2u

#define BPF_MAP_HEADER_SIZE ((sizeof(struct bpf_map) + 7u) & ~(size_t)7u)

static inline uint32_t bpf_round_up_8(uint32_t bytes)
{
    return (bytes + 7u) & ~7u;
}

/* Copies without a call for the sizes that programs use most. */
static inline void bpf_copy(uint8_t *to, const uint8_t *from, uint32_t size)
{
    for (; size >= 8; size -= 8, to += 8, from += 8)
        __builtin_memcpy(to, from, 8);
    if (size & 4) {
        __builtin_memcpy(to, from, 4);
        to += 4;
        from += 4;
    }
    for (uint32_t i = 0; i < (size & 3); i++)
        to[i] = from[i];
}

/* True if [address, address + size) is inside one value of the map. */
bool bpf_map_holds(const struct bpf_map *map, uint64_t address, uint32_t size);

#endif
