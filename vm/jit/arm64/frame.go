package arm64

import "github.com/skep-ebpf/skep/vm/jit/ir"

// frame is how a function lays out its stack; doc.go has a picture.
type frame struct {
	size  int32 // of all, a multiple of 16
	saves int32 // from SP to where registers are saved: 8 behind a return address, or 0
}

// links reports whether the return address is in the frame.
func (f *frame) links() bool { return f.saves > 0 }

// layout finds out what the frame needs: room for the most registers that are saved
// anywhere, and for the return address.
func (e *Emitter) layout() {
	known := &e.funcs[e.fn]
	e.frame, e.deep = frame{}, 0
	if known.Leaves {
		e.frame.saves = 8
	}
	e.frame.size = (e.frame.saves + 8*int32(known.Most) + int32(e.f.Frame) + 15) &^ 15
}

// below is Frame plus off as an offset from SP.
func (e *Emitter) below(off int32) int32 { return e.frame.size + off }

func (e *Emitter) prologue() {
	size := e.frame.size
	switch {
	case e.frame.links() && size <= 256:
		e.emit(preIndex.width(8).d(lr).n(sp).imm9(-size))
	case size > 0:
		e.add(8, sp, sp, -int64(size))
		if e.frame.links() {
			e.emit(store.width(8).d(lr).n(sp))
		}
	}
}

// epilogue gives the frame back and returns.
func (e *Emitter) epilogue() {
	e.giveBack()
	if e.funcs[e.fn].Called {
		e.emit(ret.n(lr))
	} else { // from the enter stub
		e.emit(br.n(lr))
	}
}

// giveBack leaves the stack pointer and the return address as they were when the
// function began.
func (e *Emitter) giveBack() {
	size := e.frame.size
	switch {
	case e.frame.links() && size < 256:
		e.emit((postIndex | isLoad).width(8).d(lr).n(sp).imm9(size))
	case size > 0:
		if e.frame.links() {
			e.emit((store | isLoad).width(8).d(lr).n(sp))
		}
		e.add(8, sp, sp, int64(size))
	}
}

// save stores registers, each instruction's own in ascending order from the save area's
// beginning, and restore loads them.
func (e *Emitter) save(set ir.RegSet)    { e.pairs(set, 0, e.frame.saves) }
func (e *Emitter) restore(set ir.RegSet) { e.pairs(set, isLoad, e.frame.saves) }

// pairs emits stores of registers from SP plus a constant on, or loads.
func (e *Emitter) pairs(set ir.RegSet, direction form, from int32) {
	next := func() (r reg) {
		r, set = set.Next()
		return r
	}
	at := from / 8
	for ; set.Count() > 1; at += 2 {
		e.emit((storePair | direction).sized(8).d(next()).a(next()).n(sp).imm7(at))
	}
	if set != 0 {
		e.emit((store | direction).width(8).d(next()).n(sp).imm12(uint32(at)))
	}
}
