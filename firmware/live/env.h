/* Time and randomness for programs. */
#ifndef ASSAY_LIVE_ENV_H
#define ASSAY_LIVE_ENV_H

#include <stdint.h>

/* Virtual time for bpf_ktime_get_ns, until env_real_time. */
void env_virtual_time(uint64_t now_ns);
void env_real_time(void);

/* Starts the sequence of bpf_get_prandom_u32. */
void env_seed(uint64_t seed);

#endif
