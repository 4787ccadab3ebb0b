// Package maps holds the maps of the user-space machine, with the kernel's
// semantics, flags and error numbers.
//
// Keys and values live outside the Go heap, in one [Slab] a map, so that a
// program holds the address of a value as it does in Linux. Everything else
// about a map is behind [Map], which has two faces: the program's, where a
// value is an address and a per-CPU map is seen through one CPU, and user
// space's, where a value is bytes that are copied and a per-CPU value is all
// CPUs' values one after another, each rounded up to 8 bytes.
//
// A value may have special fields: locks, timers, pointers to objects, lists and
// trees ([Fields], found by BTF). Updates leave them alone and user space sees
// zeroes there; what they keep is ended by whoever implements the kind ([OnFree]).
//
// An element that a program points to keeps its memory until the map is closed,
// but, as in Linux, a deleted element's memory may be given to another key.
package maps
