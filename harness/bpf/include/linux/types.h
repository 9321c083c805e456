/* SPDX-License-Identifier: Apache-2.0 */
/* The names of Linux's uapi for what assay_base.h calls u8 to s64, and for numbers in network order. */
#ifndef ASSAY_LINUX_TYPES_H
#define ASSAY_LINUX_TYPES_H

#include "../assay_base.h"

typedef u8 __u8;
typedef u16 __u16;
typedef u32 __u32;
typedef u64 __u64;
typedef s8 __s8;
typedef s16 __s16;
typedef s32 __s32;
typedef s64 __s64;
typedef u16 __be16;
typedef u32 __be32;
typedef u64 __be64;
typedef u16 __sum16;

#endif
