// Package interp executes programs one instruction at a time.
//
// [Compile] decodes a program once into a dense form: operands resolved, jump
// targets absolute, one operation code for each form of an instruction. Two
// loops run that form. The fast one relies on what the verifier proved. The
// checked one follows where each register's value came from and holds every
// memory access against the region that the pointer came from, so that a bad
// program ends in a [Fault] that names the instruction; it is the referee in
// tests.
//
// The loops are generated (gen/forms.go) from one table of instruction forms.
package interp

//go:generate go run ./gen
