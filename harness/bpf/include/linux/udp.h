/* SPDX-License-Identifier: Apache-2.0 */
/* UDP, RFC 768. */
#ifndef ASSAY_LINUX_UDP_H
#define ASSAY_LINUX_UDP_H

#include "types.h"

struct udphdr {
    __be16 source;
    __be16 dest;
    __be16 len;
    __sum16 check;
};

#endif
