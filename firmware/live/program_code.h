/* From verified instructions to A64: the addresses of maps written in, code in the JIT region, its bound. */
#ifndef ASSAY_LIVE_PROGRAM_CODE_H
#define ASSAY_LIVE_PROGRAM_CODE_H

#include <stdbool.h>

#include "live/program.h"

/* Writes the addresses of the binding's maps into its instructions, where the image refers to maps. */
bool program_relocate(const struct program *program, struct program_binding *binding,
                      struct refusal *refusal);

/* Emits the code of one binding, in the place of what it had, and sets the extension's bounds. */
bool program_emit(struct program *program, enum extension_state state, struct refusal *refusal);

/* Gives the code of one binding back, if it has any. */
void program_drop_code(struct program *program, enum extension_state state);

#endif
