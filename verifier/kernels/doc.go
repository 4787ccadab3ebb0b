// Package kernels says what each version of Linux accepts: helpers and kernel
// functions by program type, map types and flags, program and attach types,
// instructions, limits and features of the language, each with the version that
// brought it.
//
// A [Kernel] answers for one version. "Does it?" and "since when?" are one
// question here, so that whoever refuses a program can say what it needs:
//
//	k, err := kernels.Get("5.10")
//	if since, ok := k.Has(kernels.BPFLoop); !ok {
//		return fmt.Errorf("bpf_loop %s", since.Needed()) // "needs Linux 5.17"
//	}
//
// The facts are the tables in data and those of features and limits; versions
// between the profiles ("5.19") follow from them. [Host] is the running kernel:
// the tables of its version, and what it says itself where they disagree.
package kernels

//go:generate go run ./gen
