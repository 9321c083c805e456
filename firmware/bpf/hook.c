/* The hooks of contracts/ebpf/hooks.py. */
#include "bpf.h"

static const struct bpf_hook_shape shapes[BPF_HOOK_COUNT] = {BPF_HOOK_ROWS};

const struct bpf_hook_shape *bpf_hook_find(uint32_t number)
{
    return number < BPF_HOOK_COUNT ? &shapes[number] : NULL;
}
