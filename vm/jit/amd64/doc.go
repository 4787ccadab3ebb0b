// Package amd64 turns coloured functions of vm/jit/ir into machine code for amd64.
// It only produces bytes, and so builds and is tested on every architecture.
//
// A function's frame, of which parts that nothing needs are left out:
//
//	SP     →  saved registers, 8 bytes each
//	          frame memory, Func.Frame bytes
//	Frame  →  return address
//
// A caller saves the registers that live across a call and that the callee changes;
// across an exit to Go, all that live. Below the stack pointer is room for a few
// words, for signals have a stack of their own.
//
// Running out of the budget keeps all registers: a stub saves and restores them.
//
// The code of a function is made in two steps. The first writes its instructions
// without jumps, and notes where they go. The second finds out which jumps are short,
// and copies everything to where it stays. What hardly ever runs lies behind the rest
// of a function, and short loops begin where the processor fetches.
package amd64
