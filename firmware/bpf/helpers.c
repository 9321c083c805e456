/* The helpers that programs may call, under Linux's numbers and with Linux's semantics. */
#include "helpers.h"

#include "map.h"
#include "text.h"

static void *pointer(uint64_t address)
{
    return (void *)(uintptr_t)address;
}

static uint64_t map_lookup_elem(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5)
{
    (void)r3, (void)r4, (void)r5;
    return (uint64_t)(uintptr_t)bpf_map_lookup(pointer(r1), pointer(r2));
}

static uint64_t map_update_elem(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5)
{
    (void)r5;
    return (uint64_t)bpf_map_update(pointer(r1), pointer(r2), pointer(r3), r4);
}

static uint64_t map_delete_elem(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5)
{
    (void)r3, (void)r4, (void)r5;
    return (uint64_t)bpf_map_delete(pointer(r1), pointer(r2));
}

static uint64_t ktime_get_ns(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5)
{
    (void)r1, (void)r2, (void)r3, (void)r4, (void)r5;
    return bpf_env_ktime_ns();
}

static uint64_t get_prandom_u32(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5)
{
    (void)r1, (void)r2, (void)r3, (void)r4, (void)r5;
    return bpf_env_prandom_u32();
}

static uint64_t get_smp_processor_id(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5)
{
    (void)r1, (void)r2, (void)r3, (void)r4, (void)r5;
    return bpf_env_cpu();
}

/* One conversion of a trace format, after the '%': its letter ('\0' when refused) and whether it is 64 bits wide. */
static char conversion(const char *format, uint32_t size, uint32_t *at, bool *wide)
{
    uint32_t longs = 0;

    while (*at < size && format[*at] == 'l' && longs < 2) {
        longs++;
        (*at)++;
    }
    *wide = longs > 0;
    if (*at >= size)
        return '\0';
    switch (format[*at]) {
    case 'd':
    case 'i': return 'd';
    case 'u': return 'u';
    case 'x': return 'x';
    case 'p': *wide = true; return longs == 0 ? 'x' : '\0';
    case '%': return longs == 0 ? '%' : '\0';
    default: return '\0';
    }
}

int bpf_trace_arguments(const char *format, uint32_t size)
{
    int arguments = 0;
    bool wide = false;

    if (size == 0 || size > BPF_TRACE_FORMAT_MAX || format[size - 1] != '\0')
        return -1;
    for (uint32_t i = 0; i < size && format[i] != '\0'; i++) {
        char letter = '\0';

        if (format[i] != '%')
            continue;
        i++;
        letter = conversion(format, size, &i, &wide);
        if (letter == '\0')
            return -1;
        if (letter != '%')
            arguments++;
    }
    return arguments <= 3 ? arguments : -1;
}

/* long bpf_trace_printk(const char *fmt, u32 fmt_size, ...): %d %i %u %x with l or ll, %p, %%; at most three. */
static uint64_t trace_printk(uint64_t r1, uint64_t r2, uint64_t r3, uint64_t r4, uint64_t r5)
{
    const char *format = pointer(r1);
    uint32_t size = (uint32_t)r2, next = 0;
    uint64_t values[3];
    char buffer[BPF_TRACE_TEXT_MAX];
    struct text text;
    bool wide = false;

    if (bpf_trace_arguments(format, size) < 0)
        return (uint64_t)-BPF_EINVAL;
    values[0] = r3;
    values[1] = r4;
    values[2] = r5;
    text_start(&text, buffer, sizeof(buffer));
    for (uint32_t i = 0; i < size && format[i] != '\0'; i++) {
        char letter = '\0';

        if (format[i] != '%') {
            text_char(&text, format[i]);
            continue;
        }
        i++;
        letter = conversion(format, size, &i, &wide);
        if (letter == '%') {
            text_char(&text, '%');
            continue;
        }
        if (letter == 'd')
            text_signed(&text, wide ? (int64_t)values[next] : (int32_t)values[next]);
        else
            text_number(&text, wide ? values[next] : (uint32_t)values[next], letter == 'x' ? 16 : 10);
        next++;
    }
    bpf_env_trace(buffer, (size_t)(text.at - buffer));
    return (uint64_t)(text.at - buffer);
}

/* Costs are A64 instructions of the worst case, rounded up: a chain of BPF_HASH_MAX_CHAIN entries whose 32-bit tags
 * all match. What depends on a map's sizes is added by bpf_helper_cost_on. */
static const struct bpf_helper helpers[] = {
    {1,
     "bpf_map_lookup_elem",
     288,
     {BPF_ARG_MAP, BPF_ARG_KEY},
     BPF_RESULT_VALUE_OR_NULL,
     false,
     map_lookup_elem},
    {2,
     "bpf_map_update_elem",
     384,
     {BPF_ARG_MAP, BPF_ARG_KEY, BPF_ARG_VALUE, BPF_ARG_SCALAR},
     BPF_RESULT_SCALAR,
     true,
     map_update_elem},
    {3, "bpf_map_delete_elem", 320, {BPF_ARG_MAP, BPF_ARG_KEY}, BPF_RESULT_SCALAR, true, map_delete_elem},
    {5, "bpf_ktime_get_ns", 48, {BPF_ARG_NONE}, BPF_RESULT_SCALAR, false, ktime_get_ns},
    {6,
     "bpf_trace_printk",
     8192,
     {BPF_ARG_MEMORY, BPF_ARG_SIZE, BPF_ARG_PRINTED, BPF_ARG_PRINTED, BPF_ARG_PRINTED},
     BPF_RESULT_SCALAR,
     false,
     trace_printk},
    {7, "bpf_get_prandom_u32", 48, {BPF_ARG_NONE}, BPF_RESULT_U32, false, get_prandom_u32},
    {8, "bpf_get_smp_processor_id", 16, {BPF_ARG_NONE}, BPF_RESULT_U32, false, get_smp_processor_id},
};

const struct bpf_helper *bpf_helper_find(int32_t number)
{
    for (size_t i = 0; i < sizeof(helpers) / sizeof(helpers[0]); i++)
        if (helpers[i].number == number)
            return &helpers[i];
    return NULL;
}

uint32_t bpf_helper_cost(int32_t helper)
{
    const struct bpf_helper *found = bpf_helper_find(helper);

    return found == NULL ? 0 : found->cost;
}

uint32_t bpf_helper_cost_on(int32_t helper, const struct bpf_map_def *def)
{
    const struct bpf_helper *found = bpf_helper_find(helper);
    uint32_t cost = found == NULL ? 0 : found->cost;

    if (found == NULL || def == NULL || found->args[0] != BPF_ARG_MAP)
        return cost;
    if (def->type == BPF_MAP_ARRAY)
        cost = 32;
    else
        cost += (def->key_size + 7) / 8 * (BPF_HASH_MAX_CHAIN + 2) * 4;
    if (found->args[2] == BPF_ARG_VALUE)
        cost += (def->value_size + 7) / 8 * 4 + 16;
    return cost;
}

bpf_helper_fn bpf_helper_address(int32_t number)
{
    const struct bpf_helper *found = bpf_helper_find(number);

    return found == NULL ? NULL : found->call;
}
