// Package conformance reads the cases of the bpf_conformance suite, for every
// engine to run.
//
// A case is a text file of sections: "-- asm" is a program in the suite's own
// assembly or "-- raw" one in hexadecimal bytes, "-- mem" is memory whose
// address the program finds in R1 and whose length in R2, "-- result" is the R0
// that it must leave, and "-- error" says that it must not run.
package conformance
