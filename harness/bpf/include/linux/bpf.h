/* SPDX-License-Identifier: Apache-2.0 */
/* Contexts, return codes, map types and flags, for programs written for Linux. */
#ifndef ASSAY_LINUX_BPF_H
#define ASSAY_LINUX_BPF_H

#include "types.h"

#endif
