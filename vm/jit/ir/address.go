package ir

import "math"

// address lets an access or a Lea begin at what its base was made from.
func (d *folder) address(i *Ins) {
	if i.A != Frame {
		k := d.copied(i.A)
		if off := int64(i.Off) + k.off; k.base != None && k.off == int64(int32(k.off)) && fits(off) {
			i.A, i.Off = k.base, int32(off)
		}
	}
	if i.B == None || i.Op == Cmpxchg {
		return
	}
	k := d.copied(i.B)
	more := k.off << i.N
	if more>>i.N != k.off || more < math.MinInt32 || more > math.MaxInt32 || !fits(int64(i.Off)+more) {
		return
	}
	switch {
	case k.isNumber():
		i.B, i.N = None, 0
	case k.isVar():
		i.B = k.base
	default:
		return
	}
	i.Off += int32(more)
}

// sum notes what a Lea gives.
func (d *folder) sum(i *Ins) {
	if i.B != None {
		d.now.unknown(i.Dst, ^uint64(0))
		return
	}
	k := d.copied(i.A)
	k.off += int64(i.Off)
	k.may = ^uint64(0)
	if k.isNumber() {
		k.may = uint64(k.off)
	}
	d.define(i, k)
}

// stored simplifies what a Store stores.
func (d *folder) stored(i *Ins) {
	if i.C == None {
		return
	}
	i.C = d.source(i.C, i.Width)
	if k := d.now[i.C].known; k.isNumber() {
		if n := int64(converted(Sext, 8, i.Width, uint64(k.off))); fits(n) {
			i.C, i.Imm = None, n
		}
	}
}
