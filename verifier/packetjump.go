package verifier

import (
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/verifier/scalar"
)

// maxPacketOffset is how far into a packet an access may be (MAX_PACKET_OFF).
const maxPacketOffset = 0xffff

// packetOutcome tells which side of a comparison with a packet's end can be taken,
// where an earlier one proved the pointer to be at or beyond it.
func packetOutcome(op uint8, dst, src *Reg) scalar.Outcome {
	ptr := dst
	switch {
	case src.Type == PtrToPacketEnd:
	case dst.Type == PtrToPacketEnd:
		ptr, op = src, scalar.Flip(op)
	default:
		return scalar.Maybe
	}
	beyond := ptr.Range == beyondPacketEnd
	atLeast := beyond || ptr.Range == atPacketEnd
	switch {
	case op == isa.JmpJGT && beyond, op == isa.JmpJGE && atLeast:
		return scalar.Always
	case op == isa.JmpJLE && beyond, op == isa.JmpJLT && atLeast:
		return scalar.Never
	}
	return scalar.Maybe
}

// comparePacket learns from a comparison of a packet pointer with the packet's end, or
// of one into the metadata with the packet's beginning: on one side, what lies before
// the pointer is there; on the other, the pointer is not inside. It reports whether
// that is what is compared.
func comparePacket(op uint8, ins *isa.Instruction, falls, taken *state) bool {
	regs := &falls.cur().regs
	n := ins.Dst
	if !withEnd(&regs[ins.Dst], &regs[ins.Src]) {
		if !withEnd(&regs[ins.Src], &regs[ins.Dst]) {
			return false
		}
		n, op = ins.Src, scalar.Flip(op)
	}
	ptr := regs[n] // eachReg may change it
	switch op {
	case isa.JmpJGT:
		falls.inside(&ptr, false)
		taken.outside(n, beyondPacketEnd)
	case isa.JmpJGE:
		falls.inside(&ptr, true)
		taken.outside(n, atPacketEnd)
	case isa.JmpJLT:
		taken.inside(&ptr, true)
		falls.outside(n, atPacketEnd)
	case isa.JmpJLE:
		taken.inside(&ptr, false)
		falls.outside(n, beyondPacketEnd)
	default:
		return false
	}
	return true
}

// withEnd reports whether a pointer is compared with where its memory ends.
func withEnd(ptr, end *Reg) bool {
	switch ptr.Type {
	case PtrToPacket:
		return end.Type == PtrToPacketEnd
	case PtrToPacketMeta:
		return end.Type == PtrToPacket && end.Off == 0 && end.ID == 0 && end.Value.IsConst() && end.UMax == 0
	}
	return false
}

// inside notes how much lies before a pointer that is not behind the end, or less than
// that: so much may be accessed through those that differ from it by a constant.
func (s *state) inside(ptr *Reg, less bool) {
	room := ptr.Off
	if less {
		room++
	}
	if ptr.Off < 0 || ptr.Off == 0 && less || ptr.UMax > maxPacketOffset || ptr.UMax+uint64(ptr.Off) > maxPacketOffset {
		return // nothing, or it may have wrapped around
	}
	s.eachReg(func(_ *frame, r *Reg) {
		if r.Type == ptr.Type && r.ID == ptr.ID {
			r.Range = max(r.Range, room)
		}
	})
}

// outside notes that a pointer is at or beyond the packet's end.
func (s *state) outside(n uint8, where int32) {
	if r := &s.cur().regs[n]; r.Type == PtrToPacket {
		r.Range = where
	}
}
