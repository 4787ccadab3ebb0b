// Package helper holds the helper functions that programs call, each with its
// prototype: the arguments' kinds, what it returns and which program types have
// it, in the kernel's terms (struct bpf_func_proto).
//
// The prototypes serve three readers: the machine, which refuses a program that
// calls what its type does not have; checked mode, which holds every argument
// against its kind before the call; and the verifier.
//
// A file is one family of helpers.
package helper

//go:generate go run ./gen
