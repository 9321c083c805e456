/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What assay.h and the headers named as Linux's and libbpf's have in common: types, sections, map declarations, and
 * what contracts/ebpf declares of hooks, helpers and map kinds.
 */
#ifndef ASSAY_BASE_H
#define ASSAY_BASE_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef signed short s16;
typedef signed int s32;
typedef signed long long s64;

#define SEC(name)       __attribute__((section(name), used))
#define __always_inline inline __attribute__((always_inline))
#define __noinline      __attribute__((noinline))

/* A map declaration, as a loader finds it: HASH, ARRAY and the others of assay_api.h are made of it. */
#define ASSAY_MAP(map_name, map_type, key_t, value_t, entries)                                               \
    struct {                                                                                                 \
        int (*type)[map_type];                                                                               \
        int (*max_entries)[entries];                                                                         \
        key_t *key;                                                                                          \
        value_t *value;                                                                                      \
    } map_name SEC(".maps")

/* Members of a map declaration, as libbpf has them. */
#define __uint(name, number) int (*name)[number]
#define __type(name, type)   __typeof__(type) *name

/* Flags of bpf_map_update_elem. */
enum { BPF_ANY = 0, BPF_NOEXIST = 1, BPF_EXIST = 2 };

/* Contexts, return codes, helpers and map kinds: generated from contracts/ebpf, in words in docs/programs.md. */
#include "assay_api.h"

/* Prints up to three numbers to the session's log: see bpf_trace_printk. */
#define bpf_printk(format, ...)                                                                              \
    ({                                                                                                       \
        static const char bpf_printk_format[] = format;                                                      \
        bpf_trace_printk(bpf_printk_format, sizeof(bpf_printk_format), ##__VA_ARGS__);                       \
    })

#endif
