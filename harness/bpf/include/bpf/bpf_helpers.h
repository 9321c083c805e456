/* SPDX-License-Identifier: Apache-2.0 */
/* Sections, map members, helpers and bpf_printk, for programs written for libbpf. */
#ifndef ASSAY_BPF_BPF_HELPERS_H
#define ASSAY_BPF_BPF_HELPERS_H

#include "../linux/types.h"

#define __weak   __attribute__((weak))
#define __hidden __attribute__((visibility("hidden")))

#ifndef NULL
#define NULL ((void *)0)
#endif

#endif
