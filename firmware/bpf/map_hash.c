/* Hash maps: chained, with at most half as many keys as buckets and chains of bounded length.
 *
 * Entries come from one pool and do not move, so a value's address stays valid for the map's lifetime. A deleted entry
 * is reused by a later update: a pointer that a program still holds then sees the new value (as in Linux).
 */
#include "map.h"

#include <string.h>

#include "helpers.h"

/* A chain that is longer refuses a new key with -ENOMEM. With at most one key for two buckets only keys that were
 * chosen to collide get there (Poisson, mean 0.5: about 1e-19), and it bounds the time of every operation. */
#define HASH_MAX_CHAIN 16u
#define HASH_MAX_KEY   64u

/* Cost of a key for every 8 bytes: hashed, compared along a chain whose 32-bit tags all match, and copied. */
#define HASH_KEY_WORD_COST ((HASH_MAX_CHAIN + 2u) * 4u)

struct hash_state {
    uint32_t *buckets; /* 1 + number of the first entry of each chain, 0 for an empty one */
    uint32_t bucket_mask;
    uint32_t used; /* entries ever handed out; those beyond are untouched */
    uint32_t free; /* 1 + number of the first freed entry, chained by `next`; 0 for none */
};
_Static_assert(sizeof(struct hash_state) <= sizeof(((struct bpf_map *)0)->state), "state of a map");

struct entry {
    uint32_t next; /* 1 + number of the next entry in its chain, or in the free list */
    uint32_t tag; /* hash with bit 0 set; 0 when the entry is free */
};

static struct hash_state *state_of(struct bpf_map *map)
{
    return (struct hash_state *)(void *)map->state;
}

static struct entry *entry_at(const struct bpf_map *map, uint32_t number)
{
    return (struct entry *)(void *)(map->base + (size_t)(number - 1) * map->stride);
}

static uint8_t *key_of(struct entry *entry)
{
    return (uint8_t *)entry + sizeof(*entry);
}

/* A word at a time, multiply and fold, twice for the last: the bits that choose the bucket depend on every bit of the
 * key, wherever keys differ (addresses in the high half, counters in the low). */
static uint32_t hash_key(const uint8_t *key, uint32_t size)
{
    uint64_t hash = size, word = 0;

    for (; size >= 8; size -= 8, key += 8) {
        __builtin_memcpy(&word, key, 8);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
    }
    if (size > 0) {
        uint32_t low = 0;

        if (size == 4) {
            __builtin_memcpy(&low, key, 4);
            word = low;
        } else {
            word = 0;
            for (uint32_t i = 0; i < size; i++)
                word |= (uint64_t)key[i] << (8 * i);
        }
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
    }
    return (uint32_t)((hash * 0xd6e8feb86659fd93u) >> 32);
}

static bool same_key(const uint8_t *a, const uint8_t *b, uint32_t size)
{
    uint64_t left = 0, right = 0;

    for (; size >= 8; size -= 8, a += 8, b += 8) {
        __builtin_memcpy(&left, a, 8);
        __builtin_memcpy(&right, b, 8);
        if (left != right)
            return false;
    }
    if (size >= 4) {
        uint32_t low_left = 0;

        __builtin_memcpy(&low_left, a, 4);
        uint32_t low_right = 0;
        __builtin_memcpy(&low_right, b, 4);
        if (low_left != low_right)
            return false;
        size -= 4;
        a += 4;
        b += 4;
    }
    for (uint32_t i = 0; i < size; i++) {
        if (a[i] != b[i])
            return false;
    }
    return true;
}

static size_t hash_footprint(const struct bpf_map_def *def, const char **reason)
{
    size_t buckets = 2;

    if (def->key_size == 0 || def->key_size > HASH_MAX_KEY) {
        if (reason != NULL)
            *reason = "hash map key_size: expected 1 to 64 bytes";
        return 0;
    }
    while (buckets < 2 * (size_t)def->max_entries)
        buckets *= 2;
    return BPF_MAP_HEADER_SIZE +
           (size_t)def->max_entries *
               (sizeof(struct entry) + bpf_round_up_8(def->key_size) + bpf_round_up_8(def->value_size)) +
           buckets * sizeof(uint32_t);
}

static void hash_clear(struct bpf_map *map)
{
    struct hash_state *state = state_of(map);

    memset(state->buckets, 0, ((size_t)state->bucket_mask + 1) * sizeof(uint32_t));
    state->used = 0;
    state->free = 0;
}

static void hash_init(struct bpf_map *map)
{
    struct hash_state *state = state_of(map);
    uint32_t buckets = 2;

    while (buckets < 2 * map->def.max_entries)
        buckets *= 2;
    state->bucket_mask = buckets - 1;
    map->value_offset = (uint32_t)sizeof(struct entry) + bpf_round_up_8(map->def.key_size);
    map->stride = map->value_offset + bpf_round_up_8(map->def.value_size);
    state->buckets = (uint32_t *)(void *)(map->base + (size_t)map->stride * map->def.max_entries);
    hash_clear(map);
}

/* The link (bucket head or `next`) that leads to the key's entry, or NULL. *length: entries in the chain. */
static uint32_t *find(struct bpf_map *map, const uint8_t *key, uint32_t hash, uint32_t *length)
{
    const struct hash_state *state = state_of(map);
    uint32_t *link = &state->buckets[hash & state->bucket_mask];
    uint32_t steps = 0;

    for (; *link != 0 && steps < HASH_MAX_CHAIN; steps++) {
        struct entry *entry = entry_at(map, *link);

        if (entry->tag == (hash | 1u) && same_key(key_of(entry), key, map->def.key_size))
            return link;
        link = &entry->next;
    }
    *length = steps;
    return NULL;
}

static void *hash_lookup(struct bpf_map *map, const void *key)
{
    uint32_t length = 0;
    uint32_t *link = find(map, key, hash_key(key, map->def.key_size), &length);

    return link == NULL ? NULL : (uint8_t *)entry_at(map, *link) + map->value_offset;
}

static int64_t hash_update(struct bpf_map *map, const void *key, const void *value, uint64_t flags)
{
    struct hash_state *state = state_of(map);
    uint32_t hash = hash_key(key, map->def.key_size), length = 0;
    uint32_t *head = &state->buckets[hash & state->bucket_mask];
    uint32_t *link = find(map, key, hash, &length);

    if (link != NULL) {
        if (flags == BPF_NOEXIST)
            return -BPF_EEXIST;
        bpf_copy((uint8_t *)entry_at(map, *link) + map->value_offset, value, map->def.value_size);
        return 0;
    }
    if (flags == BPF_EXIST)
        return -BPF_ENOENT;
    if (state->free == 0 && state->used == map->def.max_entries)
        return -BPF_E2BIG;
    if (length >= HASH_MAX_CHAIN)
        return -BPF_ENOMEM;
    uint32_t number = 0;
    if (state->free != 0) {
        number = state->free;
        state->free = entry_at(map, number)->next;
    } else {
        number = ++state->used;
    }
    struct entry *entry = entry_at(map, number);
    bpf_copy(key_of(entry), key, map->def.key_size);
    bpf_copy((uint8_t *)entry + map->value_offset, value, map->def.value_size);
    entry->tag = hash | 1u;
    entry->next = *head;
    *head = number;
    return 0;
}

static int64_t hash_remove(struct bpf_map *map, const void *key)
{
    struct hash_state *state = state_of(map);
    uint32_t length = 0;
    uint32_t *link = find(map, key, hash_key(key, map->def.key_size), &length);

    if (link == NULL)
        return -BPF_ENOENT;
    uint32_t number = *link;
    struct entry *entry = entry_at(map, number);
    *link = entry->next;
    entry->tag = 0;
    entry->next = state->free;
    state->free = number;
    return 0;
}

static uint32_t hash_next(struct bpf_map *map, uint32_t cursor, const void **key, const void **value)
{
    const struct hash_state *state = state_of(map);

    if (cursor >= state->used) /* a cursor comes from outside: cursor + 1 must not wrap */
        return 0;
    for (uint32_t number = cursor + 1; number <= state->used; number++) {
        struct entry *entry = entry_at(map, number);

        if (entry->tag == 0)
            continue;
        *key = key_of(entry);
        *value = (uint8_t *)entry + map->value_offset;
        return number;
    }
    return 0;
}

static uint32_t hash_cost(const struct bpf_map_def *def, const struct bpf_helper *helper)
{
    return helper->cost + (def->key_size + 7) / 8 * HASH_KEY_WORD_COST;
}

const struct bpf_map_ops bpf_map_hash_ops = {
    .capabilities = BPF_MAP_INHERITED,
    .footprint = hash_footprint,
    .init = hash_init,
    .clear = hash_clear,
    .lookup = hash_lookup,
    .update = hash_update,
    .remove = hash_remove,
    .next = hash_next,
    .cost = hash_cost,
};
