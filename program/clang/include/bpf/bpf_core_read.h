/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the kernel's structures wherever their members lie in the running kernel
 * (CO-RE), and asking which of them it has.
 */
#ifndef __BPF_CORE_READ_H
#define __BPF_CORE_READ_H

#include "bpf_helpers.h"

/* What clang's builtins can be asked. The numbers are part of BTF relocations. */
enum bpf_field_info_kind {
	BPF_FIELD_BYTE_OFFSET = 0,
	BPF_FIELD_BYTE_SIZE = 1,
	BPF_FIELD_EXISTS = 2,
	BPF_FIELD_SIGNED = 3,
	BPF_FIELD_LSHIFT_U64 = 4,
	BPF_FIELD_RSHIFT_U64 = 5,
};

enum bpf_type_id_kind { BPF_TYPE_ID_LOCAL = 0, BPF_TYPE_ID_TARGET = 1 };
enum bpf_type_info_kind { BPF_TYPE_EXISTS = 0, BPF_TYPE_SIZE = 1, BPF_TYPE_MATCHES = 2 };
enum bpf_enum_value_kind { BPF_ENUMVAL_EXISTS = 0, BPF_ENUMVAL_VALUE = 1 };

/* A field is named as an expression, task->pid, or as type and member. */
#define ___bpf_field1(field) field
#define ___bpf_field2(type, field) ((typeof(type) *)0)->field
#define ___bpf_field_info(kind, field...) \
	__builtin_preserve_field_info(___bpf_apply(___bpf_field, ___bpf_narg(field))(field), kind)

#define bpf_core_field_exists(field...) ___bpf_field_info(BPF_FIELD_EXISTS, field)
#define bpf_core_field_size(field...) ___bpf_field_info(BPF_FIELD_BYTE_SIZE, field)
#define bpf_core_field_offset(field...) ___bpf_field_info(BPF_FIELD_BYTE_OFFSET, field)

#define bpf_core_type_id_local(type) __builtin_btf_type_id(*(typeof(type) *)0, BPF_TYPE_ID_LOCAL)
#define bpf_core_type_id_kernel(type) __builtin_btf_type_id(*(typeof(type) *)0, BPF_TYPE_ID_TARGET)
#define bpf_core_type_exists(type) __builtin_preserve_type_info(*(typeof(type) *)0, BPF_TYPE_EXISTS)
#define bpf_core_type_matches(type) __builtin_preserve_type_info(*(typeof(type) *)0, BPF_TYPE_MATCHES)
#define bpf_core_type_size(type) __builtin_preserve_type_info(*(typeof(type) *)0, BPF_TYPE_SIZE)

#define bpf_core_enum_value_exists(type, value) \
	__builtin_preserve_enum_value(*(typeof(type) *)value, BPF_ENUMVAL_EXISTS)
#define bpf_core_enum_value(type, value) __builtin_preserve_enum_value(*(typeof(type) *)value, BPF_ENUMVAL_VALUE)

/* One read, of an address whose way through structures is preserved. */
#define bpf_core_read(dst, size, src) bpf_probe_read_kernel(dst, size, __builtin_preserve_access_index(src))
#define bpf_core_read_user(dst, size, src) bpf_probe_read_user(dst, size, __builtin_preserve_access_index(src))
#define bpf_core_read_str(dst, size, src) bpf_probe_read_kernel_str(dst, size, __builtin_preserve_access_index(src))
#define bpf_core_read_user_str(dst, size, src) \
	bpf_probe_read_user_str(dst, size, __builtin_preserve_access_index(src))

/* A pointer that the verifier lets read as this type, without trusting it. */
extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __weak __ksym;
#define bpf_core_cast(ptr, type) ((typeof(type) *)bpf_rdonly_cast(ptr, bpf_core_type_id_kernel(type)))

/*
 * Walks along pointers: from a, through b and c, to d in a->b->c->d. Each step but
 * the last reads the next pointer into ___at; path is what has been walked so far,
 * and only its type is used.
 */
#define ___bpf_step(read, path, member) read(&___at, sizeof(___at), &((typeof(path))___at)->member)
#define ___bpf_last(read, dst, size, path, member) read((void *)(dst), size, &((typeof(path))___at)->member)
#define ___bpf_walk1(hop, read, dst, size, path, a) ___bpf_last(read, dst, size, path, a)
#define ___bpf_walk2(hop, read, dst, size, path, a, more...) \
	___bpf_step(hop, path, a), ___bpf_walk1(hop, read, dst, size, (path)->a, more)
#define ___bpf_walk3(hop, read, dst, size, path, a, more...) \
	___bpf_step(hop, path, a), ___bpf_walk2(hop, read, dst, size, (path)->a, more)
#define ___bpf_walk4(hop, read, dst, size, path, a, more...) \
	___bpf_step(hop, path, a), ___bpf_walk3(hop, read, dst, size, (path)->a, more)
#define ___bpf_walk5(hop, read, dst, size, path, a, more...) \
	___bpf_step(hop, path, a), ___bpf_walk4(hop, read, dst, size, (path)->a, more)
#define ___bpf_walk6(hop, read, dst, size, path, a, more...) \
	___bpf_step(hop, path, a), ___bpf_walk5(hop, read, dst, size, (path)->a, more)
#define ___bpf_walk7(hop, read, dst, size, path, a, more...) \
	___bpf_step(hop, path, a), ___bpf_walk6(hop, read, dst, size, (path)->a, more)
#define ___bpf_walk8(hop, read, dst, size, path, a, more...) \
	___bpf_step(hop, path, a), ___bpf_walk7(hop, read, dst, size, (path)->a, more)
#define ___bpf_walk9(hop, read, dst, size, path, a, more...) \
	___bpf_step(hop, path, a), ___bpf_walk8(hop, read, dst, size, (path)->a, more)
#define ___bpf_walk(hop, read, dst, size, src, members...)                                                      \
	({                                                                                                      \
		const void *___at = (const void *)(src);                                                        \
		___bpf_apply(___bpf_walk, ___bpf_narg(members))(hop, read, dst, size, src, members);            \
	})

/* The value itself, where a walk ends. */
#define ___bpf_arrow1(path, a) (path)->a
#define ___bpf_arrow2(path, a, more...) ___bpf_arrow1((path)->a, more)
#define ___bpf_arrow3(path, a, more...) ___bpf_arrow2((path)->a, more)
#define ___bpf_arrow4(path, a, more...) ___bpf_arrow3((path)->a, more)
#define ___bpf_arrow5(path, a, more...) ___bpf_arrow4((path)->a, more)
#define ___bpf_arrow6(path, a, more...) ___bpf_arrow5((path)->a, more)
#define ___bpf_arrow7(path, a, more...) ___bpf_arrow6((path)->a, more)
#define ___bpf_arrow8(path, a, more...) ___bpf_arrow7((path)->a, more)
#define ___bpf_arrow9(path, a, more...) ___bpf_arrow8((path)->a, more)
#define ___bpf_arrow(src, members...) ___bpf_apply(___bpf_arrow, ___bpf_narg(members))(src, members)
#define ___bpf_value(into, src, members...)                        \
	({                                                         \
		typeof(___bpf_arrow(src, members)) ___value;       \
		into(&___value, src, members);                     \
		___value;                                          \
	})

/* Kernel and user memory, with relocations (CORE) and without (PROBE). */
#define BPF_CORE_READ_INTO(dst, src, members...) \
	___bpf_walk(bpf_core_read, bpf_core_read, dst, sizeof(*(dst)), src, members)
#define BPF_CORE_READ_USER_INTO(dst, src, members...) \
	___bpf_walk(bpf_core_read_user, bpf_core_read_user, dst, sizeof(*(dst)), src, members)
#define BPF_PROBE_READ_INTO(dst, src, members...) \
	___bpf_walk(bpf_probe_read_kernel, bpf_probe_read_kernel, dst, sizeof(*(dst)), src, members)
#define BPF_PROBE_READ_USER_INTO(dst, src, members...) \
	___bpf_walk(bpf_probe_read_user, bpf_probe_read_user, dst, sizeof(*(dst)), src, members)

#define BPF_CORE_READ(src, members...) ___bpf_value(BPF_CORE_READ_INTO, src, members)
#define BPF_CORE_READ_USER(src, members...) ___bpf_value(BPF_CORE_READ_USER_INTO, src, members)
#define BPF_PROBE_READ(src, members...) ___bpf_value(BPF_PROBE_READ_INTO, src, members)
#define BPF_PROBE_READ_USER(src, members...) ___bpf_value(BPF_PROBE_READ_USER_INTO, src, members)

/* Walks that end in a text. */
#define BPF_CORE_READ_STR_INTO(dst, src, members...) \
	___bpf_walk(bpf_core_read, bpf_core_read_str, dst, sizeof(*(dst)), src, members)
#define BPF_CORE_READ_USER_STR_INTO(dst, src, members...) \
	___bpf_walk(bpf_core_read_user, bpf_core_read_user_str, dst, sizeof(*(dst)), src, members)
#define BPF_PROBE_READ_STR_INTO(dst, src, members...) \
	___bpf_walk(bpf_probe_read_kernel, bpf_probe_read_kernel_str, dst, sizeof(*(dst)), src, members)
#define BPF_PROBE_READ_USER_STR_INTO(dst, src, members...) \
	___bpf_walk(bpf_probe_read_user, bpf_probe_read_user_str, dst, sizeof(*(dst)), src, members)

/*
 * Bit-fields: relocations say where their bytes are, and by how much to shift what is
 * read to the left, until the field is on top, and back.
 */
#define ___bpf_bits_info(s, field, kind) __builtin_preserve_field_info((s)->field, BPF_FIELD_##kind)
#define ___bpf_bits_shifted(s, field, word)                                             \
	({                                                                              \
		unsigned long long ___top = (word) << ___bpf_bits_info(s, field, LSHIFT_U64); \
		___bpf_bits_info(s, field, SIGNED) ?                                    \
			(long long)___top >> ___bpf_bits_info(s, field, RSHIFT_U64) :   \
			___top >> ___bpf_bits_info(s, field, RSHIFT_U64);               \
	})
#define ___bpf_bits_at(s, field)                                                                          \
	({                                                                                                \
		const void *___bits = (const void *)(s) + ___bpf_bits_info(s, field, BYTE_OFFSET);        \
		/* or the access itself would be relocated once more */                                   \
		barrier_var(___bits);                                                                     \
		___bits;                                                                                  \
	})

/* Where the program may access memory itself. */
#define BPF_CORE_READ_BITFIELD(s, field)                                       \
	({                                                                     \
		const void *___from = ___bpf_bits_at(s, field);                \
		unsigned long long ___word = 0;                                \
		switch (___bpf_bits_info(s, field, BYTE_SIZE)) {               \
		case 1: ___word = *(const unsigned char *)___from; break;      \
		case 2: ___word = *(const unsigned short *)___from; break;     \
		case 4: ___word = *(const unsigned int *)___from; break;       \
		case 8: ___word = *(const unsigned long long *)___from; break; \
		}                                                              \
		___bpf_bits_shifted(s, field, ___word);                        \
	})
#define BPF_CORE_WRITE_BITFIELD(s, field, value)                                                         \
	({                                                                                               \
		void *___to = (void *)___bpf_bits_at(s, field);                                          \
		unsigned int ___left = ___bpf_bits_info(s, field, LSHIFT_U64);                           \
		unsigned int ___right = ___bpf_bits_info(s, field, RSHIFT_U64);                          \
		unsigned long long ___mask = (~0ULL << ___right) >> ___left;                             \
		unsigned long long ___new = ((unsigned long long)(value) << ___right) >> ___left;        \
		switch (___bpf_bits_info(s, field, BYTE_SIZE)) {                                         \
		case 1: *(unsigned char *)___to = (*(unsigned char *)___to & ~___mask) | ___new; break;  \
		case 2: *(unsigned short *)___to = (*(unsigned short *)___to & ~___mask) | ___new; break; \
		case 4: *(unsigned int *)___to = (*(unsigned int *)___to & ~___mask) | ___new; break;    \
		case 8: *(unsigned long long *)___to = (*(unsigned long long *)___to & ~___mask) | ___new; break; \
		}                                                                                        \
	})

/* Where only a helper may read. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ___bpf_bits_place(word, size) (void *)&(word)
#else
#define ___bpf_bits_place(word, size) ((void *)&(word) + sizeof(word) - (size))
#endif
#define BPF_CORE_READ_BITFIELD_PROBED(s, field)                                               \
	({                                                                                    \
		unsigned long long ___word = 0;                                               \
		unsigned int ___size = ___bpf_bits_info(s, field, BYTE_SIZE);                 \
		bpf_probe_read_kernel(___bpf_bits_place(___word, ___size), ___size,           \
				      (const void *)(s) + ___bpf_bits_info(s, field, BYTE_OFFSET)); \
		___bpf_bits_shifted(s, field, ___word);                                       \
	})

#endif
