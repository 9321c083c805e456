/* How a map is laid out, for the files that implement one kind each.
 *
 * One map is touched by one core at a time, and a program never interrupts another that shares its maps: hooks run
 * with preemption off and are not nested. Nothing here takes a lock.
 */
#ifndef ASSAY_BPF_MAP_H
#define ASSAY_BPF_MAP_H

#include "bpf.h"

struct bpf_map {
    struct bpf_map_def def;
    uint32_t stride; /* bytes from one array value, or one hash entry, to the next; a multiple of 8 */
    uint8_t *base; /* array: value 0. hash: entry 0 */
    /* hash only */
    uint32_t *buckets; /* 1 + number of the first entry of each chain, 0 for an empty one */
    uint32_t bucket_mask;
    uint32_t value_offset; /* of the value in an entry */
    uint32_t used; /* entries ever handed out; those beyond are untouched */
    uint32_t free; /* 1 + number of the first freed entry, chained by `next`; 0 for none */
    uint32_t cursor_key; /* array: where bpf_map_next keeps the key it points at */
};

/* A chain that is longer refuses a new key with -ENOMEM. With at most one key for two buckets only keys that were
 * chosen to collide get there (Poisson, mean 0.5: about 1e-19), and it bounds the time of every operation. */
#define BPF_HASH_MAX_CHAIN 16u
#define BPF_HASH_MAX_KEY   64u

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

/* True when [address, address + size) lies inside one value of the map. */
bool bpf_map_holds(const struct bpf_map *map, uint64_t address, uint32_t size);

/* map_array.c */
size_t bpf_array_footprint(const struct bpf_map_def *def, const char **reason);
void bpf_array_init(struct bpf_map *map);
void bpf_array_clear(struct bpf_map *map);
void *bpf_array_lookup(struct bpf_map *map, const void *key);
int64_t bpf_array_update(struct bpf_map *map, const void *key, const void *value, uint64_t flags);
uint32_t bpf_array_next(struct bpf_map *map, uint32_t cursor, const void **key, const void **value);

/* map_hash.c */
size_t bpf_hash_footprint(const struct bpf_map_def *def, const char **reason);
void bpf_hash_init(struct bpf_map *map);
void bpf_hash_clear(struct bpf_map *map);
void *bpf_hash_lookup(struct bpf_map *map, const void *key);
int64_t bpf_hash_update(struct bpf_map *map, const void *key, const void *value, uint64_t flags);
int64_t bpf_hash_delete(struct bpf_map *map, const void *key);
uint32_t bpf_hash_next(struct bpf_map *map, uint32_t cursor, const void **key, const void **value);

#endif
