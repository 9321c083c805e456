/* SPDX-License-Identifier: Apache-2.0 */
/* C's integer types of a known width, on the engine's machine. */
#ifndef ASSAY_STDINT_H
#define ASSAY_STDINT_H

typedef signed char int8_t;
typedef signed short int16_t;
typedef signed int int32_t;
typedef signed long long int64_t;
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef unsigned long long uint64_t;
typedef signed long intptr_t;
typedef unsigned long uintptr_t;

#endif
