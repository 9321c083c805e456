/* A pool divided into extents: first fit, so that the same requests in the same order get the same addresses. */
#ifndef ASSAY_LIVE_POOL_H
#define ASSAY_LIVE_POOL_H

#include <stddef.h>
#include <stdint.h>

#define POOL_EXTENTS 512u

struct extent {
    uintptr_t va;
    size_t size;
};

struct pool {
    uintptr_t va;
    size_t size;
    size_t grain; /* a power of two: extents start at and take multiples of it */
    size_t used;
    uint32_t count;
    struct extent extents[POOL_EXTENTS]; /* by address */
};

void pool_init(struct pool *pool, uintptr_t va, size_t size, size_t grain);

/* The lowest `size` free bytes, rounded up to the grain; 0 when there are none, or size is 0. */
uintptr_t pool_take(struct pool *pool, size_t size);

/* The extent at `va` keeps its first `size` bytes (rounded up) and frees the rest. */
void pool_shrink(struct pool *pool, uintptr_t va, size_t size);

/* Frees the extent at `va`; ignores anything else. */
void pool_give(struct pool *pool, uintptr_t va);

/* Bytes of the largest free run. */
size_t pool_largest(const struct pool *pool);

#endif
