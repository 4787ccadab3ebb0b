/* SPDX-License-Identifier: Apache-2.0 */
/* Network byte order. Constants stay constants, so that all of it may stand in initializers and cases. */
#ifndef __BPF_ENDIAN_H
#define __BPF_ENDIAN_H

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define __bpf_be16(x) ((unsigned short)__builtin_bswap16((unsigned short)(x)))
#define __bpf_be32(x) ((unsigned int)__builtin_bswap32((unsigned int)(x)))
#define __bpf_be64(x) ((unsigned long long)__builtin_bswap64((unsigned long long)(x)))
#else
#define __bpf_be16(x) ((unsigned short)(x))
#define __bpf_be32(x) ((unsigned int)(x))
#define __bpf_be64(x) ((unsigned long long)(x))
#endif

#define bpf_htons(x) __bpf_be16(x)
#define bpf_ntohs(x) __bpf_be16(x)
#define bpf_htonl(x) __bpf_be32(x)
#define bpf_ntohl(x) __bpf_be32(x)
#define bpf_cpu_to_be64(x) __bpf_be64(x)
#define bpf_be64_to_cpu(x) __bpf_be64(x)

/* Older names of the same. */
#define __bpf_htons(x) __bpf_be16(x)
#define __bpf_ntohs(x) __bpf_be16(x)
#define __bpf_htonl(x) __bpf_be32(x)
#define __bpf_ntohl(x) __bpf_be32(x)
#define __bpf_constant_htons(x) __bpf_be16(x)
#define __bpf_constant_ntohs(x) __bpf_be16(x)
#define __bpf_constant_htonl(x) __bpf_be32(x)
#define __bpf_constant_ntohl(x) __bpf_be32(x)

#endif
