package verifier

import (
	"slices"

	"github.com/skep-ebpf/skep/isa"
)

// where says to which stack a register may point.
type where struct {
	kind   whereKind
	frame  uint8    // of whereFrame: how many calls up, 0 is the function's own
	n      uint8    // of whereFrame: how many offsets; 0: any
	frames uint8    // of whereSome: these frames, by their bits
	off    [4]int16 // from that frame's pointer, in order
}

type whereKind uint8

const (
	whereUnseen whereKind = iota // no path seen yet
	whereNot                     // to none
	whereFrame                   // to one frame's
	whereSome                    // to one of some frames', anywhere
)

var nowhere = where{kind: whereNot}

// union joins what two paths say.
func (w where) union(o where) where {
	switch {
	case o.kind == whereUnseen:
		return w
	case w.kind == whereUnseen:
		return o
	case w == o:
		return w
	case w.kind == whereFrame && o.kind == whereFrame && w.frame == o.frame:
		return w.merge(o)
	case w.kind == whereFrame && o.kind == whereNot:
		return w.perhaps()
	case o.kind == whereFrame && w.kind == whereNot:
		return o.perhaps()
	}
	return where{kind: whereSome, frames: w.mask() | o.mask()}
}

// merge joins the offsets of two pointers into one frame.
func (w where) merge(o where) where {
	anywhere := where{kind: whereFrame, frame: w.frame}
	if w.n == 0 || o.n == 0 {
		return anywhere
	}
	all := slices.Concat(w.off[:w.n], o.off[:o.n])
	slices.Sort(all)
	if all = slices.Compact(all); len(all) > len(w.off) {
		return anywhere
	}
	m := where{kind: whereFrame, frame: w.frame, n: uint8(len(all))}
	copy(m.off[:], all)
	return m
}

// perhaps is a pointer that on another path is none: a store through it is not sure to
// write. The frame pointer itself, through which nothing can be accessed, stands for that.
func (w where) perhaps() where {
	switch {
	case w.n != 1:
		return w
	case w.off[0] == 0:
		return where{kind: whereFrame, frame: w.frame}
	}
	return w.merge(where{kind: whereFrame, frame: w.frame, n: 1})
}

// mask is the set of frames that may be pointed to.
func (w where) mask() uint8 {
	switch w.kind {
	case whereFrame:
		return 1 << w.frame
	case whereSome:
		return w.frames
	}
	return 0
}

// plus adds a number to the offsets.
func (w where) plus(n int64) where {
	if w.kind != whereFrame {
		return w
	}
	for i := range w.off[:w.n] {
		sum := int64(w.off[i]) + n
		if sum != int64(int16(sum)) {
			return where{kind: whereFrame, frame: w.frame}
		}
		w.off[i] = int16(sum)
	}
	return w
}

// in gives what a caller's pointer is to its callee, one frame further up.
func (w where) in() where {
	switch w.kind {
	case whereFrame:
		w.frame++
		if w.frame >= isa.MaxFrames {
			return nowhere // such a call is refused
		}
	case whereSome:
		w.frames <<= 1
	}
	return w
}

// mixed is what arithmetic with two registers gives.
func (w where) mixed(o where) where {
	switch {
	case w.kind == whereFrame && (o.kind == whereNot || o.kind == whereFrame && o.frame == w.frame):
		return where{kind: whereFrame, frame: w.frame}
	case o.kind == whereFrame && w.kind == whereNot:
		return where{kind: whereFrame, frame: o.frame}
	case w.kind == whereNot && o.kind == whereNot:
		return nowhere
	}
	return where{kind: whereSome, frames: w.mask() | o.mask()}
}
