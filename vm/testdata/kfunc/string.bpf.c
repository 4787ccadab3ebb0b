// SPDX-License-Identifier: Apache-2.0
/* Every kernel function on strings, on the two texts and on wrong addresses. */
#include "kfunc.h"

extern int bpf_strcmp(const char *s1, const char *s2) __ksym;
extern int bpf_strcasecmp(const char *s1, const char *s2) __ksym;
extern int bpf_strchr(const char *s, char c) __ksym;
extern int bpf_strchrnul(const char *s, char c) __ksym;
extern int bpf_strnchr(const char *s, unsigned long count, char c) __ksym;
extern int bpf_strrchr(const char *s, char c) __ksym;
extern int bpf_strlen(const char *s) __ksym;
extern int bpf_strnlen(const char *s, unsigned long count) __ksym;
extern int bpf_strspn(const char *s, const char *accept) __ksym;
extern int bpf_strcspn(const char *s, const char *reject) __ksym;
extern int bpf_strstr(const char *s1, const char *s2) __ksym;
extern int bpf_strnstr(const char *s1, const char *s2, unsigned long len) __ksym;

SEC("syscall")
int strings(void *ctx)
{
	const char *a = (const char *)text[0], *b = (const char *)text[1];
	char c = in[0];
	u64 n = in[1];

	OUT(0, bpf_strcmp(a, b));
	OUT(1, bpf_strcasecmp(a, b));
	OUT(2, bpf_strchr(a, c));
	OUT(3, bpf_strchrnul(a, c));
	OUT(4, bpf_strnchr(a, n, c));
	OUT(5, bpf_strrchr(a, c));
	OUT(6, bpf_strlen(a));
	OUT(7, bpf_strnlen(a, n));
	OUT(8, bpf_strspn(a, b));
	OUT(9, bpf_strcspn(a, b));
	OUT(10, bpf_strstr(a, b));
	OUT(11, bpf_strnstr(a, b, n));
	return 0;
}

SEC("syscall")
int wrong_strings(void *ctx)
{
	const char *a = (const char *)text[0], *wrong = (const char *)in[0];

	OUT(0, bpf_strcmp(a, wrong));
	OUT(1, bpf_strcmp(wrong, a));
	OUT(2, bpf_strchr(wrong, 'a'));
	OUT(3, bpf_strnchr(wrong, 0, 'a'));
	OUT(4, bpf_strlen(wrong));
	OUT(5, bpf_strnlen(wrong, 0));
	OUT(6, bpf_strspn(a, wrong));
	OUT(7, bpf_strcspn(wrong, a));
	OUT(8, bpf_strstr(a, wrong));
	OUT(9, bpf_strnstr(wrong, a, 3));
	return 0;
}
