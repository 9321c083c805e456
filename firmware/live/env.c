/* Time and randomness for programs: both belong to the run, so that a run can be repeated. */
#include "live/env.h"

#include "bpf/bpf.h"
#include "channel/channel.h"
#include "kernel/kernel.h"

static bool is_virtual;
static uint64_t virtual_ns;
static uint64_t random_state;

void env_virtual_time(uint64_t now_ns)
{
    is_virtual = true;
    virtual_ns = now_ns;
}

void env_real_time(void)
{
    is_virtual = false;
}

void env_seed(uint64_t seed)
{
    random_state = seed;
}

uint64_t bpf_env_ktime_ns(void)
{
    return is_virtual ? virtual_ns : timer_now_ns();
}

/* SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014), upper half. */
uint32_t bpf_env_prandom_u32(void)
{
    random_state += 0x9e3779b97f4a7c15u;
    uint64_t z = random_state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) >> 32);
}

uint32_t bpf_env_cpu(void)
{
    return this_cpu()->core;
}

void bpf_env_trace(const char *text, size_t length)
{
    (void)channel_log(LOG_TRACE, text, length);
}
