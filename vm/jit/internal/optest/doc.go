// Package optest tests backends of the JIT: it runs each operation of the
// intermediate form as machine code, with random registers, sizes and numbers, and
// compares what it leaves in registers and memory, and for what it left native code, with
// what the operation means.
//
// Each instruction is in the middle of a function that loads all variables before and
// stores all variables behind it. Neither the passes nor the driver of package jit
// take part.
package optest
