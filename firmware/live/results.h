/* Results of the last trial or replay: a record a call, which RESULTS reads. */
#ifndef ASSAY_LIVE_RESULTS_H
#define ASSAY_LIVE_RESULTS_H

#include <stdint.h>

void results_clear(void);

/* Starts new results, of the trial of a handle or (0) of a replay. */
void results_begin(uint32_t handle);

/* One call; what is beyond TRACE_PACKETS_MAX is not kept. */
void results_add(uint32_t verdict, uint64_t instructions);

#endif
