// Package ir is the form in which the JIT compiles programs: functions of blocks
// of three-address instructions on at most 64 variables.
//
// A variable is a register of the bytecode, a stack slot that was promoted, a
// register of a function that was inlined, or a temporary. It is one storage place
// for the whole function, not a single assignment: bytecode comes from a compiler
// that has already allocated registers, so that sets of variables fit into one word
// and every pass is linear.
//
// The stages, each in its file:
//
//	lift.go     bytecode and the verifier's facts in, functions out
//	expand.go   calls of helpers that have no need of Go become instructions: those on
//	            maps that are known (lookup.go, prefix.go, ringbuf.go), loops.go, and others
//	inline.go   small functions go where they are called
//	promote.go  stack slots become variables
//	fold.go     constants and frame addresses, dead branches
//	sweep.go    what has no effect goes
//	division.go divisions by numbers become multiplications
//	combine.go  several instructions become one
//	blind.go    numbers that a program chose are hidden, if that is asked for
//	live.go     which variables live where
//	colour.go   variables become machine registers
//
// Slots are promoted before functions are folded and swept, as most are accessed through
// R10; where folding brings more addresses in the frame into the open, all three have
// another turn. [Program.Optimise] is the order of all between expanding and
// colouring.
//
// What comes out is for a backend ([Target]) to turn into bytes.
package ir
