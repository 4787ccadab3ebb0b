// Package verifier decides whether Linux would let a program run, without Linux,
// and says why not.
//
// It walks every path of a program as Linux's verifier does (kernel/bpf/verifier.c
// describes the rules), on abstract states: each register and stack slot holds a
// number, of which known bits and intervals are kept ([scalar.Value]), or a
// pointer, of which the object and the offset are ([Reg]). A path ends where an
// earlier one went on from a state that covers this one. Nothing is executed.
//
// What a version of Linux has is a table (package kernels); where versions differ
// in rules, the rule asks which one is followed.
//
// A file is one subject:
//
//	check.go      what a caller sees: Check, Options, Result
//	error.go cause.go   Error and the causes of a refusal
//	profile.go    what a kernel or a loader does not have at all
//	reg.go typename.go map.go   what a register holds
//	state.go      registers, stack, references: the state of a path
//	checker.go    one verification, and what the rules share
//	walk.go       from instruction to instruction along all paths
//	cfg.go reach.go fields.go  functions, jumps, what is reached and loops, before the walk
//	callinfo.go          what is known of a call before the walk
//	constants.go live.go what is constant on every path, and which registers are read later
//	where.go stackflow.go stackuse.go   pointers to the stack, and which slots are read later
//	prune.go equal.go    when a path need not be followed further
//	loop.go              loops that end for other reasons than a counter
//	summarise.go terminate.go   loops that count, without following each turn
//	pool.go              states are copied often
//	precision.go history.go    which numbers a path's safety depended on
//	stackdepth.go        how much stack functions use together
//	alu.go pointer.go speculation.go      arithmetic
//	jump.go linked.go nullcheck.go packetjump.go   comparisons, and what they tell
//	access.go bounds.go atomic.go immediate.go   loads and stores: what they have in common
//	stack.go packet.go mapvalue.go socket.go btfaccess.go   and by what they go to
//	memory.go            the same where calls read and write
//	context.go arguments.go targetargs.go tracepointnull.go   contexts, by type and by what a program is attached to
//	returns.go           what programs may return
//	helper.go helperrule.go argument.go argtype.go format.go    calls of helpers
//	proto.go prototable.go helperuse.go mapcompat.go   how they are called, and by whom
//	kfunc.go kfuncset.go kfuncops.go kfuncarg.go kfuncmem.go   calls of kernel functions
//	dynptr.go iter.go irq.go     what they keep on the stack
//	object.go graph.go           objects of the program's own types, lists and trees of them
//	types.go structwalk.go ctxtype.go   types of BTF: which are the same, and what lies in them
//	lock.go reference.go release.go section.go   what is held, and where nothing may sleep
//	attach.go hooks.go target.go   what the program is attached to
//	frame.go callback.go global.go gotox.go   the program's own functions, and indirect jumps
//	explain.go trail.go hint.go log.go   what is told of a refusal, and of the walk
//	kernellog.go  a refusal that a kernel told
//	facts.go numbers.go   what was proved, for others
package verifier
