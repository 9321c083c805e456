/* Defects that the kernel plants in deployed code on request: testing kernels only, absent from release ones. */
#ifndef ASSAY_LIVE_PLANT_H
#define ASSAY_LIVE_PLANT_H

#ifdef ASSAY_TESTING

#include <stddef.h>
#include <stdint.h>

#include "live/program.h"

#define PLANT_BYTES 64u

/*
 * Writes PLANT_BYTES of A64 in front of a program's code: it counts program->calls_left down and falls through to the
 * code while there are any, then loads from an unmapped address (PLANT_FAULT) or loops for ever (PLANT_OVERRUN).
 */
void plant_write(uint8_t *code, const struct program *program);

/* Accepts a program that the verifier did not see: every slot reached, one function, a bound of its own. */
void plant_accept_unverified(struct bpf_prog *bpf);

#endif
#endif
