/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an extension may use: contexts, helpers, maps, and a bounded packet parser.
 *
 * Programs are compiled with `clang -target bpfel -mcpu=v4 -g -O2`. Helper numbers, map types and return codes are
 * Linux's (include/uapi/linux/bpf.h); types and byte order are handled here so that a program reads as its intent.
 */
#ifndef ASSAY_H
#define ASSAY_H

#include "assay_base.h"

#define NS_PER_US 1000ULL
#define NS_PER_MS 1000000ULL

/* A count, or a set of bits, that is reset with each time window. */
struct window {
    u64 start;
    u64 count;
};

/* Packets and bytes, counted together. */
struct tally {
    u64 packets;
    u64 bytes;
};

/* --- packets ---------------------------------------------------------------------------------------------------- */

#ifndef ASSAY_LINUX_IN_H /* which has these */
enum { IPPROTO_ICMP = 1, IPPROTO_TCP = 6, IPPROTO_UDP = 17 };
#endif
enum { TCP_FIN = 0x01, TCP_SYN = 0x02, TCP_RST = 0x04, TCP_PSH = 0x08, TCP_ACK = 0x10 };

/*
 * The fields of one IPv4 packet, in host order. `len` is its length on the wire (14 bytes of Ethernet header and the
 * IPv4 total length). Ports are 0 unless TCP or UDP, `flags` is 0 unless TCP.
 */
struct flow {
    u32 saddr;
    u32 daddr;
    u32 sport;
    u32 dport;
    u32 proto;
    u32 flags;
    u32 len;
};

/*
 * Fills `f` from the packet and returns 1, or returns 0 for what is not a whole, unfragmented IPv4 packet without
 * options (IHL 5), or is truncated within its TCP (20 bytes) or UDP (8 bytes) header.
 */
static __always_inline int parse_flow(const struct xdp_md *ctx, struct flow *f)
{
    const u8 *data = (const u8 *)(unsigned long)ctx->data;
    const u8 *data_end = (const u8 *)(unsigned long)ctx->data_end;

    if (data + 34 > data_end)
        return 0;
    if (*(const u16 *)(data + 12) != __builtin_bswap16(0x0800) || data[14] != 0x45)
        return 0;
    if (*(const u16 *)(data + 20) & __builtin_bswap16(0x3fff))
        return 0;
    f->len = 14 + __builtin_bswap16(*(const u16 *)(data + 16));
    f->proto = data[23];
    f->saddr = __builtin_bswap32(*(const u32 *)(data + 26));
    f->daddr = __builtin_bswap32(*(const u32 *)(data + 30));
    f->sport = 0;
    f->dport = 0;
    f->flags = 0;
    if (f->proto == IPPROTO_TCP) {
        if (data + 54 > data_end)
            return 0;
        f->flags = data[47];
    } else if (f->proto == IPPROTO_UDP) {
        if (data + 42 > data_end)
            return 0;
    } else {
        return 1;
    }
    f->sport = __builtin_bswap16(*(const u16 *)(data + 34));
    f->dport = __builtin_bswap16(*(const u16 *)(data + 36));
    return 1;
}

/* --- arithmetic without branches, so that a verifier follows one path -------------------------------------------- */

/* Number of bits set. */
static __always_inline u32 popcount(u64 x)
{
    x = x - ((x >> 1) & 0x5555555555555555ULL);
    x = (x & 0x3333333333333333ULL) + ((x >> 2) & 0x3333333333333333ULL);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
    return (u32)((x * 0x0101010101010101ULL) >> 56);
}

/* Position of the highest bit set: floor(log2(x)), and 0 for 0. */
static __always_inline u32 log2_floor(u64 x)
{
    x |= x >> 1;
    x |= x >> 2;
    x |= x >> 4;
    x |= x >> 8;
    x |= x >> 16;
    x |= x >> 32;
    return popcount(x >> 1);
}

/* One bit of 64, chosen by a multiplicative hash of `value`: a set of such bits estimates how many values differ. */
static __always_inline u64 hash_bit(u32 value)
{
    return 1ULL << ((value * 0x9e3779b1U) >> 26);
}

#endif
