// Package program is an eBPF program as every stage passes it on: cilium/ebpf's
// CollectionSpec and what skep knows beyond it.
//
// [Open] reads an object that clang built. [Link] makes one of its programs
// ready for a machine: functions called are laid out behind it, CO-RE
// relocations applied, externs resolved, and all of it turned into the raw
// instructions of an [Image]. Neither needs a kernel.
package program
