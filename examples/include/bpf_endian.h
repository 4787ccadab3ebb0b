// SPDX-License-Identifier: Apache-2.0
/* Network byte order. The examples are built little-endian. */
#ifndef SKEP_BPF_ENDIAN_H
#define SKEP_BPF_ENDIAN_H

#define bpf_htons(x) __builtin_bswap16(x)
#define bpf_ntohs(x) __builtin_bswap16(x)
#define bpf_htonl(x) __builtin_bswap32(x)
#define bpf_ntohl(x) __builtin_bswap32(x)

#endif
