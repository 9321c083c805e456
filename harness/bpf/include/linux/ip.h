/* SPDX-License-Identifier: Apache-2.0 */
/* IPv4, RFC 791. */
#ifndef ASSAY_LINUX_IP_H
#define ASSAY_LINUX_IP_H

#include "types.h"

struct iphdr {
    u8 ihl : 4, version : 4;
    u8 tos;
    __be16 tot_len;
    __be16 id;
    __be16 frag_off;
    u8 ttl;
    u8 protocol;
    __sum16 check;
    __be32 saddr;
    __be32 daddr;
};

#endif
