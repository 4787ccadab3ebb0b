// Package progtype describes the program types: what their context looks like
// to a program and where each field really lies, how a run's packet and context
// are set up, as the kernel's test run does it (net/bpf/test_run.c), and what
// their return codes are called.
//
// A file is one family of types.
package progtype
