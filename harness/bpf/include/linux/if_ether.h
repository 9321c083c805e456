/* SPDX-License-Identifier: Apache-2.0 */
/* Ethernet, IEEE 802.3. */
#ifndef ASSAY_LINUX_IF_ETHER_H
#define ASSAY_LINUX_IF_ETHER_H

#include "types.h"

#define ETH_ALEN    6
#define ETH_HLEN    14
#define ETH_P_IP    0x0800
#define ETH_P_ARP   0x0806
#define ETH_P_8021Q 0x8100
#define ETH_P_IPV6  0x86DD

struct ethhdr {
    u8 h_dest[ETH_ALEN];
    u8 h_source[ETH_ALEN];
    __be16 h_proto;
} __attribute__((packed));

#endif
