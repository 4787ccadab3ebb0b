// SPDX-License-Identifier: Apache-2.0
/* Storage that belongs to inodes, tasks, cgroups and sockets; in[0] says what is done with it. */
#include "attached.h"

static void *(*const bpf_get_current_task_btf)(void) = (void *)158;
static u64 *(*const bpf_sk_storage_get)(void *map, void *owner, u64 *value, u64 flags) = (void *)107;
static long (*const bpf_sk_storage_delete)(void *map, void *owner) = (void *)108;
static u64 *(*const bpf_inode_storage_get)(void *map, void *owner, u64 *value, u64 flags) = (void *)145;
static long (*const bpf_inode_storage_delete)(void *map, void *owner) = (void *)146;
static u64 *(*const bpf_task_storage_get)(void *map, void *owner, u64 *value, u64 flags) = (void *)156;
static long (*const bpf_task_storage_delete)(void *map, void *owner) = (void *)157;
static u64 *(*const bpf_cgrp_storage_get)(void *map, void *owner, u64 *value, u64 flags) = (void *)210;
static long (*const bpf_cgrp_storage_delete)(void *map, void *owner) = (void *)211;

#define STORAGE(name, number)                                \
	struct {                                             \
		__uint(type, number);                        \
		__uint(map_flags, 1 /* BPF_F_NO_PREALLOC */); \
		__type(key, int);                            \
		__type(value, u64);                          \
	} name SEC(".maps");

STORAGE(sk, 24)
STORAGE(inode, 28)
STORAGE(task, 29)
STORAGE(cgrp, 32)

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct cgroup {
	int level;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

struct task_struct {
	struct css_set *cgroups;
};

struct sock {
	u32 sk_mark;
};

struct socket {
	struct sock *sk;
};

#pragma clang attribute pop

/* One step with the storage of an owner: look, with or without a first value, or delete. */
#define STEP(kind, owner)                                                       \
	do {                                                                    \
		u64 first = in[2], *v = 0;                                      \
		if (!MINE())                                                    \
			return 0;                                               \
		OUT(0, -1);                                                     \
		OUT(1, -1);                                                     \
		COUNT();                                                        \
		if (in[0] == 2) {                                               \
			OUT(0, bpf_##kind##_storage_delete(&kind, owner));      \
			return 0;                                               \
		}                                                               \
		if (in[0] == 1)                                                 \
			v = bpf_##kind##_storage_get(&kind, owner, &first, in[1]); \
		else                                                            \
			v = bpf_##kind##_storage_get(&kind, owner, 0, in[1]);   \
		OUT(0, v != 0);                                                 \
		if (v) {                                                        \
			OUT(1, *v);                                             \
			*v = *v * 3 + in[2];                                    \
		}                                                               \
	} while (0)

SEC("lsm/file_open")
int inodes(u64 *ctx)
{
	struct file *file = (void *)ctx[0];

	STEP(inode, file->f_inode);
	return 0;
}

SEC("lsm/file_open")
int tasks(u64 *ctx)
{
	STEP(task, bpf_get_current_task_btf());
	return 0;
}

SEC("lsm/file_open")
int cgroups(u64 *ctx)
{
	struct task_struct *current = bpf_get_current_task_btf();

	STEP(cgrp, current->cgroups->dfl_cgrp);
	return 0;
}

SEC("lsm/socket_bind")
int sockets(u64 *ctx)
{
	struct socket *socket = (void *)ctx[0];
	struct sock *owner = socket->sk;

	if (!owner)
		return 0;
	STEP(sk, owner);
	return 0;
}
