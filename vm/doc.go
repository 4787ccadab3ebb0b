// Package vm is eBPF in user space, with cilium/ebpf's shapes: a program written
// against cilium/ebpf runs here by changing one line,
//
//	coll, err := vm.NewCollection(spec) // was ebpf.NewCollection(spec)
//
// and then uses [Collection], [Program], [Map], and the readers in vm/ringbuf
// and vm/perf under the names that it knows. Specs, options and sentinel errors
// are cilium/ebpf's own types. No kernel, no root, and no Linux are needed.
//
// What a program computes is what Linux computes: verdict, packet, map contents
// and error numbers. Programs run as in BPF_PROG_TEST_RUN, on the machine's
// CPUs, of which there are as many as the host has; a run occupies one of them,
// and per-CPU maps follow it. Any number of goroutines may run programs and use
// maps at once. A run that finds all CPUs taken waits, so code that a run calls
// back ([exec.Env]) must not run programs itself.
//
// Maps and programs are reference counted as in the kernel: closing a [Map] that
// a program uses, or that is held by another map, does not take it away.
package vm
