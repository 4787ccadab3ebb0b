// SPDX-License-Identifier: Apache-2.0
/* Security hooks that judge what the test does with files of its own. */
#include "attached.h"

/* Keeps the compiler from computing what is returned, which old verifiers do not follow. */
#define DENY(letter, ret)                       \
	if (name[0] == letter) {                \
		__asm__ volatile("" ::: "memory"); \
		return ret;                     \
	}

SEC("lsm/file_open")
int judged(u64 *ctx)
{
	struct file *file = (void *)ctx[0];
	u8 name[8] = {};

	if (!MINE())
		return 0;
	OUT(0, bpf_probe_read_kernel_str(name, sizeof(name), file->f_path.dentry->d_name.name));
	if (name[1] != '-')
		return 0;
	OUT(1, file->f_flags & 3);
	OUT(2, file->f_inode->i_mode);
	OUT(3, file->f_inode->i_size);
	COUNT();
	DENY('p', -1 /* EPERM */)
	DENY('n', -2 /* ENOENT */)
	DENY('a', -13 /* EACCES */)
	DENY('l', -133 /* EHWPOISON */)
	return 0;
}
