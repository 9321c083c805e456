/* SPDX-License-Identifier: Apache-2.0 */
/* Byte order, for programs written for libbpf: the machine is little-endian. */
#ifndef ASSAY_BPF_BPF_ENDIAN_H
#define ASSAY_BPF_BPF_ENDIAN_H

#define bpf_htons(x)       ((unsigned short)__builtin_bswap16(x))
#define bpf_ntohs(x)       ((unsigned short)__builtin_bswap16(x))
#define bpf_htonl(x)       __builtin_bswap32(x)
#define bpf_ntohl(x)       __builtin_bswap32(x)
#define bpf_cpu_to_be64(x) __builtin_bswap64(x)
#define bpf_be64_to_cpu(x) __builtin_bswap64(x)

#endif
