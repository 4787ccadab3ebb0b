// Package progen generates random eBPF programs that Linux's verifier accepts,
// with the maps and the packet that they run on. One seed gives one [Case], so
// that whatever a case shows can be shown again.
//
// A program is a sequence of statements, each written by an emitter out of a
// table with weights ([statements]). One rule makes statements free to follow
// each other in any order: at each boundary between two, R0 to R9 hold numbers
// and the stack's data slots are initialised. A statement that needs a pointer
// loads it, uses it and fills the register with a number again, so that no
// address ever reaches a result.
//
// Numbers come from a map that holds edge values (0, -1, sign boundaries, shift
// widths), not from constants: of what the verifier knows it would remove the
// branches that are not taken. At its end a program stores all registers and
// its stack into a map, so that every difference shows.
//
// Loops and branches are few and shallow, as the verifier follows each path.
package progen
