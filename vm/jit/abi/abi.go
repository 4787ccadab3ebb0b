// Package abi is what native code and Go agree on: the context through which they
// talk, why native code is left, and what the stubs at the front of each program's
// code do.
//
// Native code runs on a stack of its own, [StackBytes] bytes at an address that is
// a multiple of that; the context is its first bytes, so that native code finds it
// by masking the stack pointer, which therefore begins below the end: at the last
// multiple of 16 that is. With [ExitDone] it is back where it was at the enter stub.
//
// A program's code begins with three stubs. Go's trampoline jumps to the first two,
// with the context's address in r11 (amd64) or x16 (arm64), everything else unknown,
// and the stack still the goroutine's:
//
//   - enter: takes SP from Context.SP, loads R1 to R5 and the budget register from the
//     context, calls the function at Context.Func, stores R0 and the budget, and leaves
//     with [ExitDone].
//   - resume: takes SP from Context.SP, loads the budget register and R0 from the
//     context and jumps to Context.Resume.
//   - leave: is jumped to with the exit's code in the first and its argument in the
//     second scratch register, and where to resume in a third one. It stores R1 to R5
//     into Context.Args, the budget, where to resume in Context.Resume, the stack
//     pointer in Context.SP, code and argument, takes Go's stack pointer, frame pointer
//     (and link register) from the context and returns to Go. (A call that is never
//     returned from would have the processor mispredict the returns behind it.)
//
// The stubs rather than Go's assembly change stacks, so that a profiler which
// interrupts Go's code always finds Go's stack there.
//
// Where to resume is behind the code that leaves, also where that is for good: it tells
// Go which instruction of which program it was.
//
// All registers may be changed when native code goes on behind a leave, but for the
// stack pointer, the budget register, and R0, which has the result. It is for the
// caller to have saved what it still needs.
//
// Nobody looks for the stack's end while native code runs: Go compares what is left,
// down to [StackReserved] bytes from the context, with what a function takes with all
// that it calls before it enters one. Where a program begins, [BecomeStack] bytes are left
// at least.
//
// Behind a tail call Context.Arg is 0 where native code goes on. Otherwise it gives
// the function's frame back as if it returned (R0 kept, and on arm64 x30 restored), loads
// R1 from Context.Args, and jumps to Context.Arg: the beginning of another program,
// or, where the interpreter ran it, a return. Native code does the same by itself
// (ir.Become) with the addresses in a program array (maps.ProgArray), from where a
// program began: there a program that takes no more than BecomeStack has room. It counts
// Context.Tails down. Go finds out from Context.Resume in which program code is.
package abi

import "unsafe"

// StackBytes is the size and alignment of a native stack in bytes, context included.
const StackBytes = 512 << 10

// StackReserved is how many bytes from the context's first one on are no stack: the
// context, room for scratch words below SP, and for leaf routines.
const StackReserved = 8 << 10

// BecomeStack is the most stack that a program takes which native code may go on in.
const BecomeStack = 64 << 10

// Context is how native code and Go talk. It lies outside the Go heap and holds
// no Go pointers.
type Context struct {
	GoSP, GoBP, GoLR uintptr // Go's registers while native code runs
	SP               uintptr // the native stack pointer, where native code goes on
	Resume           uintptr // the address at which it goes on
	Func             uintptr // the function that the enter stub calls
	Budget           int64   // what is left of the slice, in instructions
	Exit             uint32  // why native code was left
	_                uint32
	Arg              uint64    // what the exit is about
	Args             [5]uint64 // R1 to R5
	R0               uint64
	CPU              uint64 // number of the CPU
	// Record is a ring buffer's record that native code has reserved, Ring the address
	// of that one's maps.RingControl; 0: none.
	Record, Ring uint64
	// Sent is where native code has sent the packet since Go looked last.
	Sent Redirect
	// Random is the state of a generator of random numbers; 0: ask Go for them.
	Random uint64
	Tails  uint64 // how many tail calls the run may still make
}

// Redirect is an exec.Redirect of native code's.
type Redirect struct {
	Kind      uint32 // 1 more than the exec.RedirectKind; 0: there is none
	Ifindex   uint32
	Map, Prog uint32
	Key       uint64
	Flags     uint64
}

// Offsets into the context, in bytes.
const (
	OffGoSP   = unsafe.Offsetof(Context{}.GoSP)
	OffGoBP   = unsafe.Offsetof(Context{}.GoBP)
	OffGoLR   = unsafe.Offsetof(Context{}.GoLR)
	OffSP     = unsafe.Offsetof(Context{}.SP)
	OffResume = unsafe.Offsetof(Context{}.Resume)
	OffFunc   = unsafe.Offsetof(Context{}.Func)
	OffBudget = unsafe.Offsetof(Context{}.Budget)
	OffExit   = unsafe.Offsetof(Context{}.Exit)
	OffArg    = unsafe.Offsetof(Context{}.Arg)
	OffArgs   = unsafe.Offsetof(Context{}.Args)
	OffR0     = unsafe.Offsetof(Context{}.R0)
	OffCPU    = unsafe.Offsetof(Context{}.CPU)
	OffRecord = unsafe.Offsetof(Context{}.Record)
	OffRing   = unsafe.Offsetof(Context{}.Ring)
	OffSent   = unsafe.Offsetof(Context{}.Sent)
	OffRandom = unsafe.Offsetof(Context{}.Random)
	OffTails  = unsafe.Offsetof(Context{}.Tails)
)

// Why native code was left. Arg says more.
const (
	ExitDone     = iota // the function that was entered has returned R0
	ExitHelper          // the helper number Arg wants R1 to R5
	ExitCallX           // the helper whose number is Arg does
	ExitTailCall        // R1 to R3 are the arguments of bpf_tail_call at instruction Arg; Go sets Arg: not 0 is where to jump
	ExitSlow            // what instruction Arg does: Args has address, value, and what is expected
	ExitPacket          // the packet load at instruction Arg: Args has R6 and the index; Go sets Arg: not 0 ends the function
	ExitFuel            // the budget is below zero, at instruction Arg
	ExitTrap            // instruction Arg must not be reached
)
