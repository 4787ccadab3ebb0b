// Package program is an eBPF program as every stage passes it on: cilium/ebpf's
// CollectionSpec and what skep knows beyond it.
//
// [Open] reads an object that clang built. [Link] makes one of its programs
// ready for a machine: functions called are laid out behind it, CO-RE
// relocations applied, externs resolved, and all of it turned into the raw
// instructions of an [Image]. Neither needs a kernel.
//
// The spec stays cilium/ebpf's currency. What cilium/ebpf knows and does not
// tell (which extern an instruction means) travels as metadata of the
// instructions; see [ExternOf]. Instructions leave the spec through Link only:
// cilium/ebpf's own encoder clears reserved bits and loses the arena's
// address-space cast, although its decoder keeps them.
package program
