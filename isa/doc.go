// Package isa is the eBPF instruction set as bytes: RFC 9669 and what Linux has
// beyond it.
//
// An [Instruction] is one raw 8-byte slot. Nothing is interpreted or normalised
// on the way in, because reserved bits decide a verdict: cilium/ebpf's asm
// package clears some of them and drops the arena's address-space cast. Text is
// cilium/ebpf's, so that a listing reads the same in every tool of this
// ecosystem.
package isa
