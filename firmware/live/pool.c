/* First-fit extents in a table ordered by address: at most a few dozen, so a search is cheap and bounded. */
#include "live/pool.h"

static size_t rounded(const struct pool *pool, size_t size)
{
    return (size + pool->grain - 1) & ~(pool->grain - 1);
}

void pool_init(struct pool *pool, uintptr_t va, size_t size, size_t grain)
{
    pool->va = va;
    pool->size = size;
    pool->grain = grain;
    pool->used = 0;
    pool->count = 0;
}

/* First byte after extent i - 1, and first byte of extent i: the gap in front of it. */
static uintptr_t gap_start(const struct pool *pool, uint32_t i)
{
    return i == 0 ? pool->va : pool->extents[i - 1].va + pool->extents[i - 1].size;
}

static uintptr_t gap_end(const struct pool *pool, uint32_t i)
{
    return i == pool->count ? pool->va + pool->size : pool->extents[i].va;
}

uintptr_t pool_take(struct pool *pool, size_t size)
{
    if (size == 0 || size > pool->size || pool->count == POOL_EXTENTS)
        return 0;
    size = rounded(pool, size);
    for (uint32_t i = 0; i <= pool->count; i++) {
        uintptr_t va = gap_start(pool, i);
        if (gap_end(pool, i) - va < size)
            continue;
        for (uint32_t j = pool->count; j > i; j--)
            pool->extents[j] = pool->extents[j - 1];
        pool->extents[i] = (struct extent){va, size};
        pool->count++;
        pool->used += size;
        return va;
    }
    return 0;
}

static uint32_t find(const struct pool *pool, uintptr_t va)
{
    uint32_t i = 0;
    while (i < pool->count && pool->extents[i].va != va)
        i++;
    return i;
}

void pool_shrink(struct pool *pool, uintptr_t va, size_t size)
{
    uint32_t i = find(pool, va);
    size = rounded(pool, size);
    if (i == pool->count || size == 0 || size >= pool->extents[i].size)
        return;
    pool->used -= pool->extents[i].size - size;
    pool->extents[i].size = size;
}

void pool_give(struct pool *pool, uintptr_t va)
{
    uint32_t i = find(pool, va);
    if (i == pool->count)
        return;
    pool->used -= pool->extents[i].size;
    pool->count--;
    for (; i < pool->count; i++)
        pool->extents[i] = pool->extents[i + 1];
}

size_t pool_largest(const struct pool *pool)
{
    size_t largest = 0;
    if (pool->count == POOL_EXTENTS)
        return 0;
    for (uint32_t i = 0; i <= pool->count; i++) {
        size_t gap = gap_end(pool, i) - gap_start(pool, i);
        largest = gap > largest ? gap : largest;
    }
    return largest;
}
