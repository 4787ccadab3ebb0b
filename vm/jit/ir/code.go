package ir

import "slices"

// Code is a program's machine code, as a backend gives it.
type Code struct {
	Bytes []byte
	// Enter and Resume are the offsets of the stubs, Return that of a return
	// instruction.
	Enter, Resume, Return uint32
	// Entries are the offsets of the functions, Stacks how many bytes of native stack a
	// call of each takes at most, with what it calls.
	Entries, Stacks []uint32
	// Lines say which instruction of the bytecode each piece of code comes from, in
	// the order of their offsets.
	Lines []Line
}

// Clone gives a copy that has nothing in common with the code.
func (c *Code) Clone() *Code {
	d := *c
	d.Bytes, d.Entries, d.Stacks, d.Lines = slices.Clone(c.Bytes), slices.Clone(c.Entries), slices.Clone(c.Stacks), slices.Clone(c.Lines)
	return &d
}

// Line is where the code of an instruction begins. What one function of ours has
// comes from instruction -1.
type Line struct {
	Off  uint32 // into Bytes
	Func int32  // which function it is in
	At   int32
}
