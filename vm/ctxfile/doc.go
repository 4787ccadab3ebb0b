// Package ctxfile reads what a program runs on from a file in YAML or JSON: its
// context by the names of fields, registers or arguments, and the memory that it
// looks into.
//
// The program's type decides what the names are; docs/contexts.md has examples.
package ctxfile
