/* The helpers that programs may call, from contracts/ebpf/helpers.py, and the cost of a call. */
#include "helpers.h"

#include "map.h"

static const struct bpf_helper helpers[] = {BPF_HELPER_ROWS};

const struct bpf_helper *bpf_helper_find(int32_t number)
{
    for (size_t i = 0; i < sizeof(helpers) / sizeof(helpers[0]); i++) {
        if (helpers[i].number == number)
            return &helpers[i];
    }
    return NULL;
}

uint32_t bpf_helper_cost_of(const struct bpf_helper *helper, const struct bpf_map_def *def)
{
    uint32_t cost = helper->cost;

    if (def == NULL || helper->args[0] != BPF_ARG_MAP)
        return cost;
    const struct bpf_map_ops *ops = bpf_map_ops_of(def->type);
    if (ops == NULL)
        return cost;
    cost = ops->cost(def, helper);
    if (helper->args[2] == BPF_ARG_VALUE)
        cost += (def->value_size + 7) / 8 * BPF_VALUE_WORD_COST + BPF_VALUE_COPY_COST;
    return cost;
}

uint32_t bpf_helper_cost(int32_t helper)
{
    return bpf_helper_cost_on(helper, NULL);
}

uint32_t bpf_helper_cost_on(int32_t helper, const struct bpf_map_def *def)
{
    const struct bpf_helper *found = bpf_helper_find(helper);

    return found == NULL ? 0 : bpf_helper_cost_of(found, def);
}

bpf_helper_fn bpf_helper_address(int32_t number)
{
    const struct bpf_helper *found = bpf_helper_find(number);

    return found == NULL ? NULL : found->call;
}
