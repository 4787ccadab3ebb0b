// SPDX-License-Identifier: Apache-2.0
/* Every function that reads a process's or the kernel's memory where a number says. */
#include "kfunc.h"

struct task_struct { int pid; } __attribute__((preserve_access_index));
struct xdp_md { u32 data; };
extern int bpf_copy_from_user_str(void *dst, u32 dst__sz, const void *unsafe_ptr__ign, u64 flags) __ksym;
extern int bpf_copy_from_user_task_str(void *dst, u32 dst__sz, const void *unsafe_ptr__ign,
				       struct task_struct *tsk, u64 flags) __ksym;
extern int bpf_probe_read_user_dynptr(const struct bpf_dynptr *p, u32 off, u32 size, const void *from__ign) __ksym;
extern int bpf_probe_read_kernel_dynptr(const struct bpf_dynptr *p, u32 off, u32 size, const void *from__ign) __ksym;
extern int bpf_probe_read_user_str_dynptr(const struct bpf_dynptr *p, u32 off, u32 size, const void *from__ign) __ksym;
extern int bpf_probe_read_kernel_str_dynptr(const struct bpf_dynptr *p, u32 off, u32 size, const void *from__ign) __ksym;
extern int bpf_copy_from_user_dynptr(const struct bpf_dynptr *p, u32 off, u32 size, const void *from__ign) __ksym;
extern int bpf_copy_from_user_str_dynptr(const struct bpf_dynptr *p, u32 off, u32 size, const void *from__ign) __ksym;
extern int bpf_copy_from_user_task_dynptr(const struct bpf_dynptr *p, u32 off, u32 size, const void *from__ign,
					  struct task_struct *tsk) __ksym;
extern int bpf_copy_from_user_task_str_dynptr(const struct bpf_dynptr *p, u32 off, u32 size, const void *from__ign,
					      struct task_struct *tsk) __ksym;
extern int bpf_dynptr_from_xdp(struct xdp_md *x, u64 flags, struct bpf_dynptr *ptr) __ksym;

static long (*const bpf_dynptr_from_mem)(void *data, u32 size, u64 flags, struct bpf_dynptr *ptr) = (void *)197;
static long (*const bpf_probe_read_user_str)(void *dst, u32 size, const void *from) = (void *)114;
static struct task_struct *(*const bpf_get_current_task_btf)(void) = (void *)158;

#define FROM ((const void *)in[0])

/* In text: in[1] bytes from in[0], with flags in[2]. */
SEC("syscall")
int strings(void *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u32 size = in[1];

	if (size > sizeof(text))
		return 1;
	OUT(0, bpf_copy_from_user_str(text, size, FROM, in[2]));
	OUT(1, text[0][0]);
	OUT(2, text[1][size & 63]);
	text[0][1] = 0xaa;
	OUT(3, bpf_copy_from_user_task_str(text, size, FROM, task, in[2]));
	OUT(4, bpf_probe_read_user_str(text[1], size & 63, FROM));
	return 0;
}

/* Into a dynptr to memory, or to nothing, at an offset in[3]; in[4] says which. */
SEC("syscall")
int dynptrs(void *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	u32 size = in[1], off = in[3];
	struct bpf_dynptr p;

	OUT(0, bpf_dynptr_from_mem(text, sizeof(text), in[2], &p));
	switch (in[4]) {
	case 0: OUT(1, bpf_probe_read_user_dynptr(&p, off, size, FROM)); break;
	case 1: OUT(1, bpf_probe_read_kernel_dynptr(&p, off, size, FROM)); break;
	case 2: OUT(1, bpf_probe_read_user_str_dynptr(&p, off, size, FROM)); break;
	case 3: OUT(1, bpf_probe_read_kernel_str_dynptr(&p, off, size, FROM)); break;
	case 4: OUT(1, bpf_copy_from_user_dynptr(&p, off, size, FROM)); break;
	case 5: OUT(1, bpf_copy_from_user_str_dynptr(&p, off, size, FROM)); break;
	case 6: OUT(1, bpf_copy_from_user_task_dynptr(&p, off, size, FROM, task)); break;
	default: OUT(1, bpf_copy_from_user_task_str_dynptr(&p, off, size, FROM, task)); break;
	}
	return 0;
}

/* Into a packet, from a process's memory. */
SEC("xdp.frags")
int packet(struct xdp_md *xdp)
{
	u32 size = in[1], off = in[3];
	struct bpf_dynptr p;

	OUT(0, bpf_dynptr_from_xdp(xdp, in[2], &p));
	switch (in[4] & 3) {
	case 0: OUT(1, bpf_probe_read_user_dynptr(&p, off, size, FROM)); break;
	case 1: OUT(1, bpf_probe_read_user_str_dynptr(&p, off, size, FROM)); break;
	case 2: OUT(1, bpf_probe_read_kernel_dynptr(&p, off, size & 127, text)); break;
	default: OUT(1, bpf_probe_read_kernel_str_dynptr(&p, off, size & 127, text)); break;
	}
	return 0;
}
