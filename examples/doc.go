// Package examples holds eBPF programs to begin with, a folder each: the source,
// the object that clang made of it, and a capture to run it over. Its tests run
// them.
package examples
