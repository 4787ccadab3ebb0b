// Package clang compiles C sources into BPF objects with an installed clang, and
// has the headers that such sources include: those in include/bpf, of skep's own
// writing, with the names that libbpf made common.
//
// What comes out of [Compile] holds code, maps and types, and no debug information
// beyond that. [Cached] compiles only what has changed.
package clang
