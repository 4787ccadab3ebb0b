// Package attached holds programs that are attached to Linux against the machine:
// what a program sees, returns and leaves in its maps when Linux runs it at a
// hook, and when the machine runs it on a context that describes the same event.
//
// It has tests alone. What the running kernel does not let them attach they skip;
// make vm runs them in kernels that do (docs/testing.md). Programs look only at
// what the test itself does, by its process number.
package attached
