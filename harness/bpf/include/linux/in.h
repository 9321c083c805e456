/* SPDX-License-Identifier: Apache-2.0 */
/* Protocol numbers of IP. */
#ifndef ASSAY_LINUX_IN_H
#define ASSAY_LINUX_IN_H

#include "types.h"

#ifndef ASSAY_H /* which has these */
enum { IPPROTO_ICMP = 1, IPPROTO_TCP = 6, IPPROTO_UDP = 17 };
#endif
enum { IPPROTO_IP = 0, IPPROTO_ICMPV6 = 58 };

#endif
