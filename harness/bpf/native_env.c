/* The engine's environment on the host: settable time and randomness, captured traces. */
#include <string.h>

#include "native_api.h"

#define TRACE_SIZE 65536u

static uint64_t ktime_ns;
static uint64_t random_state;
static char trace[TRACE_SIZE];
static size_t trace_length;

void native_set_ktime(uint64_t value)
{
    ktime_ns = value;
}

void native_set_seed(uint64_t seed)
{
    random_state = seed;
}

#define SIZE_OF(structure) {#structure, sizeof(struct structure)},

size_t native_size_of(const char *name)
{
    static const struct {
        const char *name;
        size_t size;
    } sizes[] = {NATIVE_STRUCTURES(SIZE_OF)};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        if (strcmp(sizes[i].name, name) == 0)
            return sizes[i].size;
    }
    return 0;
}

/* Moves what was traced, one text a line, into `to`; returns its length. */
size_t native_take_trace(char *to, size_t size)
{
    size_t length = trace_length < size ? trace_length : size;

    memcpy(to, trace, length);
    trace_length = 0;
    return length;
}

uint64_t bpf_env_ktime_ns(void)
{
    return ktime_ns;
}

/* SplitMix64, by Steele, Lea and Flood (OOPSLA 2014). */
uint32_t bpf_env_prandom_u32(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) >> 32);
}

uint32_t bpf_env_cpu(void)
{
    return 0;
}

void bpf_env_trace(const char *text, size_t length)
{
    if (length + 1 > TRACE_SIZE - trace_length)
        return;
    memcpy(trace + trace_length, text, length);
    trace[trace_length + length] = '\n';
    trace_length += length + 1;
}
