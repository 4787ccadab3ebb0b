// SPDX-License-Identifier: Apache-2.0
/*
 * What the programs here share: as much of the kernel's types as they use, what a
 * run is given, and what it found.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef _Bool bool;

#define SEC(name) __attribute__((section(name), used))
#define __ksym __attribute__((section(".ksyms")))
#define __tag(x) __attribute__((btf_type_tag(#x)))
#define __decl(x) __attribute__((btf_decl_tag(x)))
#define __noinline __attribute__((noinline))
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name
#define __array(name, val) typeof(val) *name[]
#define private(name) SEC(".bss." #name) __attribute__((aligned(8), visibility("hidden")))
#define container_of(ptr, type, member) ((type *)((void *)(ptr) - __builtin_offsetof(type, member)))

struct bpf_dynptr { u64 opaque[2]; } __attribute__((aligned(8)));
struct bpf_spin_lock { u32 val; };

static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static void (*const bpf_spin_lock)(struct bpf_spin_lock *lock) = (void *)93;
static void (*const bpf_spin_unlock)(struct bpf_spin_lock *lock) = (void *)94;

u64 in[8];
long long out[64];
u8 text[2][64];

/* The n-th result. */
#define OUT(n, value) out[n] = (long long)(value)

char _license[] SEC("license") = "GPL";
