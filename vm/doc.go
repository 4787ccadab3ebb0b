// Package vm is eBPF in user space, with cilium/ebpf's shapes: a program written
// against cilium/ebpf runs here by changing one line,
//
//	coll, err := vm.NewCollection(spec) // was ebpf.NewCollection(spec)
//
// and then uses [Collection], [Program], [Map], [Variable], and the readers in
// vm/ringbuf and vm/perf under the names that it knows. Specs, options and
// sentinel errors are cilium/ebpf's own types. No kernel, no root, and no Linux
// are needed.
//
// # Two uses
//
// A test of eBPF code loads the object that is shipped, calls [Program.Test] or
// [Program.Run] with packets, and looks at the verdict and the maps; see the
// example of [NewCollection]. What a program computes is what Linux computes:
// verdict, packet, map contents and error numbers.
//
// A server that lets strangers extend it loads what they wrote and calls
// [Program.Exec], which allocates nothing; see the example "plugin". A program
// can touch what it is given and nothing else: every access is held against the
// memory that its pointer came from, and a run that does what it must not ends
// with an [interp.Fault], which says what, where, and what to try. A budget of
// instructions and a context end any run.
//
// # Runs
//
// A run is as in BPF_PROG_TEST_RUN and takes one of the machine's CPUs, of which
// there are as many as the host has; per-CPU maps follow it. Any number of
// goroutines may run programs and use maps at once. A run that finds all CPUs
// taken waits, so code that a run calls back ([exec.Env]) must not run programs
// itself.
//
// A program sees the world outside through [ProgramOptions].Env: the clock,
// randomness, the network. With an Env of the caller's making the same input
// gives the same result.
//
// # Life and death
//
// Maps and programs are reference counted as in the kernel: closing a [Map] that
// a program uses, or that is held by another map, does not take it away. But a program
// array is emptied when its last handle is closed. What a run may still look at is freed
// after that run.
//
// # Stability
//
// What has a counterpart in cilium/ebpf keeps its name, its signature and its
// behaviour, and follows cilium/ebpf where that changes; a test holds the two
// against each other. [Program.Exec], [Input], [Output] and the options will
// not change without a new major version once there is a version 1. The packages
// below this one (exec, interp, maps, helper, progtype) are the machine itself:
// they may be read and used, and they may change.
package vm
