// Package jit runs verified programs as machine code of the host.
//
// The functions of a program are made by package ir, and turned into bytes by a
// backend (vm/jit/amd64, vm/jit/arm64). Package abi says what machine code and Go
// agree on. This package has the rest: memory that may be executed, the trampoline
// from Go, and the driver, which enters a program and does for it what machine code
// cannot.
//
// # A run
//
//	driver ──► trampoline ──► enter ──► the program's code
//	  │  ▲                                │ helper, tail call, budget ...
//	  │  └───────────── leave ◄───────────┘
//	  └──────► trampoline ──► resume ──► on behind the exit
//
// Native code never calls Go. It stores what Go needs to know in the context,
// goes back to the goroutine's stack and returns to the driver, as if the trampoline
// had done something short. So Go's scheduler, collector and profiler never meet a
// frame that they do not know below one of Go's, and native frames are nothing to them
// but memory outside the Go heap.
//
// While native code runs it cannot be preempted, and a garbage collection waits for it.
// The budget sees to it that it comes back: each time around a loop counts, and when
// a slice of the budget is used up code exits and the driver looks around.
//
// A fault in native code ends the process: Go cannot recover from it. Code
// dereferences only what the verifier proved, and leaves the rest to Go.
//
// Native code goes on in another program by itself where it tail-calls one that has
// machine code (entered.go); the driver finds programs by the addresses of their code.
//
// # Seeing it
//
// With SKEP_PERF_MAP=1 in its environment a process writes the names of its programs'
// functions to where perf looks for them, perf-PID.map in the system's directory for
// temporary files.
//
// # Memory that may be executed
//
// Each program has pages of its own, which are written, then made executable and
// never written again. [Available] says whether the system permits it. Linux is
// tested, on amd64 and, emulated, on arm64. macOS (for binaries without the hardened
// runtime, which Go's are) and Windows are built for and not tested.
package jit
