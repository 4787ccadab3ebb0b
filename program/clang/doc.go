// Package clang compiles C sources into BPF objects with an installed clang, and
// has the headers that such sources include.
package clang
