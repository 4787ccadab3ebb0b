// Package exec is the state of one run of a program: its registers' memory, its
// packet, what its pointers may reach, its budget and its output.
//
// A [State] belongs to one CPU of the machine and is used by one run at a time.
// The engines (vm/interp, vm/jit) execute on it, the helpers (vm/helper) read
// and change it. It lives as long as the process; a run allocates nothing.
package exec
