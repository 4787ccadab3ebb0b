// Package inspect tells what a program could do if it were run: to the system, and with
// what it learns of it. It goes by the program's instructions and by what the verifier
// proves of them, and needs neither Linux nor privileges.
//
// What is listed is possible as far as can be told without running the program, not what
// it does on each run; what no path reaches is not listed. Calls of kernel functions that
// have no name here are listed as calls, so that nothing is passed over.
package inspect
