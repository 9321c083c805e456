/* The end of a core: report, then silence. */
#ifndef ASSAY_KERNEL_DIE_H
#define ASSAY_KERNEL_DIE_H

#include "kernel/fault.h"

/*
 * Reports `frame` as a fault of kind `kind` (with `message` before the decoded ESR, if given) and parks the core.
 * The parked core executes nothing until the host sends a frame end (0x00), and then repeats the report. A fault
 * while reporting is reported once, without containment; a fault while reporting that parks in silence.
 */
_Noreturn void die(enum fault_kind kind, const struct trap_frame *frame, const char *message);

#endif
