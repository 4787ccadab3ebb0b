package arm64

import "math/bits"

// arithmetic gives v as the immediate of an addition: 12 bits, where bit 12 says
// that they are shifted by 12.
func arithmetic(v uint64) (imm uint32, ok bool) {
	switch {
	case v < 1<<12:
		return uint32(v), true
	case v < 1<<24 && v&0xfff == 0:
		return uint32(v>>12) | 1<<12, true
	}
	return 0, false
}

// bitmask gives v as the immediate of a logical operation of size bytes: a run of
// ones, rotated, in an element of 2, 4, .. 64 bits that is repeated. What it gives are
// the bits for N, immr and imms, in their places.
func bitmask(v uint64, size uint8) (imm form, ok bool) {
	if size == 4 {
		v = v<<32 | v&0xffffffff
	}
	if v == 0 || v == ^uint64(0) {
		return 0, false
	}
	element := 64
	for half := 32; half >= 2; half /= 2 {
		if v != bits.RotateLeft64(v, half) {
			break
		}
		element = half
	}
	// Turn v so that its lowest element is a run of ones at the bottom.
	turn := bits.TrailingZeros64(v)
	if turn == 0 {
		// The run goes over the element's end: its beginning is above the zeros.
		turn = 64 - bits.LeadingZeros64(^v)
	}
	turned := bits.RotateLeft64(v, -turn)
	ones := bits.TrailingZeros64(^turned)
	if element < 64 {
		turned &= 1<<element - 1
	}
	if turned != 1<<ones-1 {
		return 0, false
	}
	r := (element - turn%element) % element
	s := ones - 1
	if element == 64 {
		return 1<<22 | form(r)<<16 | form(s)<<10, true
	}
	// The element's size is in the upper bits of imms: ones, then a zero.
	s |= 0x3f &^ (2*element - 1)
	return form(r)<<16 | form(s)<<10, true
}

// constant puts v into d, with as few instructions as there may be.
func (a *assembler) constant(d reg, v uint64) {
	if v>>32 == 0 {
		// Whatever writes four bytes clears the others.
		a.chunks(d, v, 4)
		return
	}
	a.chunks(d, v, 8)
}

func (a *assembler) chunks(d reg, v uint64, size uint8) {
	n := int(size) / 2
	zeros, ones := 0, 0
	for i := range n {
		switch uint16(v >> (16 * i)) {
		case 0:
			zeros++
		case 0xffff:
			ones++
		}
	}
	if max(zeros, ones) < n-1 {
		if imm, ok := bitmask(v, size); ok {
			a.emit(orrImm.sized(size).d(d).n(zr) | imm)
			return
		}
	}
	// The first instruction sets all chunks but its own to the filler.
	first, filler := movz, uint16(0)
	if ones > zeros {
		first, filler = movn, 0xffff
	}
	done := false
	for i := range n {
		switch chunk := uint16(v >> (16 * i)); {
		case chunk == filler:
		case done:
			a.emit(movk.sized(size).d(d).imm16(chunk, i))
		default:
			a.emit(first.sized(size).d(d).imm16(chunk^filler, i))
			done = true
		}
	}
	if !done {
		a.emit(first.sized(size).d(d))
	}
}
