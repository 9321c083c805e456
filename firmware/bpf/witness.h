/* Records the walk step by step on the host: which path led to a refusal. The kernel's walk records nothing. */
#ifndef ASSAY_BPF_WITNESS_H
#define ASSAY_BPF_WITNESS_H

#ifdef ASSAY_WITNESS

#include "verifier.h"

/* The instruction at v->slot is walked next; the current state is saved for later; it is restored. */
void witness_step(const struct verifier *v);
void witness_fork(void);
void witness_back(void);

#define WITNESS_STEP(v) witness_step(v)
#define WITNESS_FORK()  witness_fork()
#define WITNESS_BACK()  witness_back()
#else
#define WITNESS_STEP(v) ((void)0)
#define WITNESS_FORK()  ((void)0)
#define WITNESS_BACK()  ((void)0)
#endif

#endif
