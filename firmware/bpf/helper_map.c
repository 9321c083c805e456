/* The helpers on maps. */
#include "helpers.h"

uint64_t bpf_helper_map_lookup_elem(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5)
{
    (void)r3, (void)r4, (void)r5;
    return (uint64_t)(uintptr_t)bpf_map_lookup(bpf_pointer(r1), bpf_pointer(r2));
}

uint64_t bpf_helper_map_update_elem(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5)
{
    (void)r5;
    return (uint64_t)bpf_map_update(bpf_pointer(r1), bpf_pointer(r2), bpf_pointer(r3), r4);
}

uint64_t bpf_helper_map_delete_elem(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5)
{
    (void)r3, (void)r4, (void)r5;
    return (uint64_t)bpf_map_delete(bpf_pointer(r1), bpf_pointer(r2));
}
