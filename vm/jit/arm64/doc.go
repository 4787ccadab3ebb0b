// Package arm64 turns coloured functions of [ir] into machine code for arm64. It
// only makes bytes, so it builds and is tested everywhere.
//
// # Registers
//
//	x0 to x5               variables 0 to 5: R0 and the arguments
//	x6 to x11, x19 to x26  other variables
//	x12 to x15             the backend's own, within one instruction of ir
//	x16, x17               ir.Scratch0 and ir.Scratch1; what the stubs are given
//	x18                    belongs to the system
//	x27                    what is left of the budget
//	x28                    belongs to Go, also while native code runs
//	x29, x30               Go's frame pointer, kept; where a call returns to
//
// # A frame
//
//	behind Frame   the caller's frame
//	below Frame    frame memory of the function, ir.Func.Frame bytes
//	               registers that are saved around calls and exits
//	SP             the return address, if the function calls or leaves
//
// Frame is SP plus a constant within a function, and costs no register. SP is a
// multiple of 16.
//
// The files: emit.go goes over the program, frame.go and stubs.go have what is around
// its instructions; ops.go, fuse.go, memory.go, atomic.go, exit.go and branch.go have the
// instructions of ir; encode.go, immediate.go and asm.go those of the machine.
package arm64
