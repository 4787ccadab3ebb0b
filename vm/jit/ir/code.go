package ir

// Code is a program's machine code, as a backend gives it.
type Code struct {
	Bytes []byte
	// Enter and Resume are the offsets of the stubs.
	Enter, Resume uint32
	// Entries are the offsets of the functions.
	Entries []uint32
	// Lines say which instruction of the bytecode each piece of code comes from, in
	// the order of their offsets.
	Lines []Line
}

// Line is where the code of an instruction begins. What one function of ours has
// comes from instruction -1.
type Line struct {
	Off  uint32 // into Bytes
	Func int32  // which function it is in
	At   int32
}
