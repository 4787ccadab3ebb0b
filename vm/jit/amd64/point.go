package amd64

import (
	"encoding/binary"

	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// pointKind is what a point puts into the code.
type pointKind uint8

const (
	pointLabel   pointKind = iota // nothing, but the label lies here
	pointAlign                    // what does nothing
	pointJump                     // a jump to a label
	pointCond                     // a conditional one
	pointAddress                  // the address of a label goes into r9
	pointCall                     // a call of code that is finished
	pointTail                     // a jump to code that is finished, or is being
)

// point is a place in the code of a function where something depends on where other
// things come to lie. It is put in when the code is copied.
type point struct {
	at     int32 // offset in the code before anything was put in
	off    int32 // how many bytes are put in before
	target int32 // a label; an offset in the finished code
	kind   pointKind
	cc     uint8
	size   uint8 // how many bytes are put in
}

// sizes are how many bytes points put in: those of jumps to labels, as long as these are
// not known to be near.
var sizes = [...]uint8{
	pointLabel: 0, pointAlign: alignment - 1, pointJump: 5, pointCond: 6, pointAddress: 7, pointCall: 5, pointTail: 5,
}

// short is the size of a jump to a label that is near.
const short = 2

// start is where an instruction's code begins: behind as many points, and the offset.
type start struct{ points, off, at int32 }

// label gives a new label.
func (e *Emitter) label() int32 {
	e.labels = append(e.labels, far)
	return int32(len(e.labels)) - 1
}

// point notes that something is to be put in here. Only of jumps back it is known that
// they are short.
func (e *Emitter) point(kind pointKind, target int32, cc uint8) {
	e.points = append(e.points, point{})
	p := &e.points[len(e.points)-1]
	p.at, p.off, p.target, p.kind, p.cc, p.size = int32(e.n), e.off, target, kind, cc, sizes[kind]
	switch kind {
	case pointLabel:
		e.labels[target] = p.at + p.off
	case pointJump, pointCond:
		if e.near(p, p.off) {
			p.size = short
		}
	}
	e.off += int32(p.size)
}

// place puts a label here. Who comes from elsewhere brings other flags.
func (e *Emitter) place(label int32) {
	e.point(pointLabel, label, 0)
	e.flags.at = -1
}

// here gives a label that lies here.
func (e *Emitter) here() int32 {
	label := e.label()
	e.place(label)
	return label
}

// jump jumps to a block or label, unless that is the block behind this one.
func (e *Emitter) jump(label int32) {
	if label != e.next {
		e.point(pointJump, label, 0)
	}
}

// start notes that an instruction begins here.
func (e *Emitter) start(at int32) {
	e.starts = append(e.starts, start{int32(len(e.points)), int32(e.n), at})
}

// finish finds out which jumps are short, copies the function's code to behind the
// finished code, and gives its offset there.
func (e *Emitter) finish() uint32 {
	e.settle(-1)
	e.align()
	entry := int32(len(e.Bytes))
	e.settle(entry)
	done := int32(0)
	for k := range e.points {
		p := &e.points[k]
		if p.kind == pointLabel {
			continue
		}
		e.Bytes = append(e.Bytes, e.code[done:p.at]...)
		done = p.at
		e.putIn(p, entry)
	}
	e.Bytes = append(e.Bytes, e.code[done:e.n]...)
	e.addLines(entry)
	return uint32(entry)
}

// addLines notes where the instructions begin that have code.
func (e *Emitter) addLines(entry int32) {
	first := len(e.Lines)
	for _, s := range e.starts {
		off := s.off
		if s.points > 0 {
			p := &e.points[s.points-1]
			off += p.off + int32(p.size)
		}
		line := ir.Line{Off: uint32(entry + off), Func: int32(e.fn), At: s.at}
		if n := len(e.Lines); n > first {
			if last := &e.Lines[n-1]; last.At == line.At {
				continue
			} else if last.Off == line.Off { // has no code
				*last = line
				continue
			}
		}
		e.Lines = append(e.Lines, line)
	}
}

// alignment is what loops are aligned to: the bytes that a processor fetches at a time.
const alignment = 32

// far is where labels lie as long as nobody knows.
const far = 1 << 30

// settle finds out where the labels lie, and which jumps are short; before the first time,
// that is known of jumps back. Each time finds those that are short because others
// are, and there are hardly any behind the second. entry is where the code will lie. As
// long as that is not known, -1, what is aligned is taken to be as far behind as it can
// be. So things only come nearer, and what is short remains so.
func (e *Emitter) settle(entry int32) {
	off := int32(0)
	for k := range e.points {
		p := &e.points[k]
		switch p.kind {
		case pointLabel:
			e.labels[p.target] = p.at + off
		case pointAlign:
			if entry >= 0 {
				p.size = uint8(-(entry + p.at + off) & (alignment - 1))
			}
		case pointJump, pointCond:
			if p.size != short && e.near(p, off) {
				p.size = short
			}
		}
		p.off = off
		off += int32(p.size)
	}
}

// near reports whether a short jump reaches its label, with so many bytes put in before
// it. A label ahead is where it was before, and that is seen from where the jump was.
func (e *Emitter) near(p *point, off int32) bool {
	d := e.labels[p.target] - p.at
	if d > off {
		d -= p.off + int32(p.size)
	} else {
		d -= off + short
	}
	return d == int32(int8(d))
}

// putIn writes what belongs to a point behind the finished code.
func (e *Emitter) putIn(p *point, entry int32) {
	to := p.target
	switch p.kind {
	case pointAlign:
		e.nop(int(p.size))
		return
	case pointJump, pointCond, pointAddress:
		to = entry + e.labels[p.target]
	}
	d := to - int32(len(e.Bytes)) - int32(p.size)
	switch {
	case p.kind == pointCond && p.size == short:
		e.Bytes = append(e.Bytes, 0x70|p.cc, byte(d))
		return
	case p.size == short:
		e.Bytes = append(e.Bytes, 0xeb, byte(d))
		return
	case p.kind == pointCond:
		e.Bytes = append(e.Bytes, 0x0f, 0x80|p.cc)
	case p.kind == pointAddress:
		e.Bytes = append(e.Bytes, 0x4c, 0x8d, 0x0d) // lea r9, [rip + d]
	case p.kind == pointCall:
		e.Bytes = append(e.Bytes, 0xe8)
	default:
		e.Bytes = append(e.Bytes, 0xe9)
	}
	e.Bytes = binary.LittleEndian.AppendUint32(e.Bytes, uint32(d))
}

// nop does nothing for a number of bytes.
func (e *Emitter) nop(n int) {
	for n > 0 {
		k := min(n, 9)
		e.Bytes = append(e.Bytes, longNops[k-1][:k]...)
		n -= k
	}
}

var longNops = [9][9]byte{
	{0x90},
	{0x66, 0x90},
	{0x0f, 0x1f, 0x00},
	{0x0f, 0x1f, 0x40, 0x00},
	{0x0f, 0x1f, 0x44, 0x00, 0x00},
	{0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00},
	{0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00},
	{0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00},
	{0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00},
}

// align fills the finished code up to a multiple of 16 bytes.
func (e *Emitter) align() {
	for len(e.Bytes)%16 != 0 {
		e.Bytes = append(e.Bytes, 0xcc)
	}
}
