package interp

import (
	"slices"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/helper"
)

// lookupID is bpf_map_lookup_elem.
const lookupID = 1

// The fast loop does not follow pointers, so it has to know beforehand which
// loads and stores access the context, whose fields lie elsewhere than programs
// see them. A dataflow over registers and stack slots finds out. It relies on
// what the verifier proves, for example that context pointers are kept nowhere
// but in registers and on the stack. Where paths disagree on what a register is,
// the answer is unknown, and a program that uses such a register as a pointer
// runs in the checked loop.

// value is what a register or stack slot may hold: its kind in the upper half,
// an offset in bytes in the lower.
type value int64

const (
	unreached value = iota << 32 // no path yet
	other                        // neither the context nor a place on a stack
	foreign                      // not the context, perhaps a place on a stack
	ctxPtr                       // the context's address plus the offset
	framePtr                     // this function's R10 plus the offset
	mapPtr                       // a map itself
	unknown                      // perhaps the context or a map
)

const kindMask = value(-1) << 32

func (v value) kind() value { return v &^ 0xffffffff & kindMask }
func (v value) off() int32  { return int32(v) }

func (v value) add(n int32) value {
	if k := v.kind(); k == ctxPtr || k == framePtr {
		return k | value(uint32(v.off()+n))
	}
	return v
}

// join is what is true of both.
func (v value) join(w value) value {
	switch {
	case v == w || w == unreached:
		return v
	case v == unreached:
		return w
	case v.strange() || w.strange():
		return unknown
	}
	return foreign
}

// strange reports whether the fast loop must not take it for a plain pointer.
func (v value) strange() bool { return v.kind() == ctxPtr || v == mapPtr || v == unknown }

// slots are the 8-byte words of a frame.
const slots = isa.StackSize / 8

// facts is what is known before an instruction.
type facts struct {
	reg  [isa.R10 + 1]value
	slot [slots]value
}

func (f *facts) join(g *facts) (changed bool) {
	merge := func(v *value, w value) {
		if j := v.join(w); j != *v {
			*v, changed = j, true
		}
	}
	for i := range f.reg {
		merge(&f.reg[i], g.reg[i])
	}
	for i := range f.slot {
		merge(&f.slot[i], g.slot[i])
	}
	return changed
}

// slotOf gives the slot that an 8-byte access at a frame pointer means.
func slotOf(off int32) (int, bool) {
	at := off + isa.StackSize
	return int(at / 8), at >= 0 && at <= isa.StackSize-8 && at%8 == 0
}

// flow is the dataflow over one program.
type flow struct {
	insns []isa.Instruction
	// before is known where paths meet: at jump targets and where functions begin.
	before map[int]*facts
	work   []int
	// base is what each load's or store's pointer is.
	base []value
	// spills says that a pointer to the context or a map was put on a stack, ret
	// what functions return. Either makes everything be looked at again when it
	// changes.
	spills bool
	ret    value
	again  bool
	// mapOfMaps says that a lookup may give a map.
	mapOfMaps bool
}

// pointers gives for each load and store what its base register is.
func (c *compiler) pointers() []value {
	f := &flow{insns: c.in.Insns, base: make([]value, len(c.in.Insns)), mapOfMaps: c.looksUpMaps()}
	ctx, first := ctxPtr, foreign // the first arguments of the program and its callbacks
	if len(c.in.Type.Fields) == 0 {
		ctx = other
	}
	if c.givesMap() {
		first = unknown
	}
	for f.again = true; f.again; {
		f.again = false
		f.before = map[int]*facts{}
		clear(f.base)
		entry := newFrame()
		entry.reg[isa.R1] = ctx
		f.reach(0, entry)
		for _, fn := range c.callbacks() {
			args := newFrame()
			for r := isa.R1; r < isa.R6; r++ {
				args.reg[r] = foreign
			}
			args.reg[isa.R1] = first
			f.reach(fn, args)
		}
		for len(f.work) > 0 {
			at := f.work[len(f.work)-1]
			f.work = f.work[:len(f.work)-1]
			f.block(at, *f.before[at])
		}
	}
	return f.base
}

// newFrame is what a function without arguments begins with.
func newFrame() *facts {
	f := &facts{}
	for i := range f.reg {
		f.reg[i] = other
	}
	for i := range f.slot {
		f.slot[i] = other
	}
	f.reg[isa.R10] = framePtr
	return f
}

// reach notes what a path brings to an instruction where paths meet.
func (f *flow) reach(at int, s *facts) {
	known, ok := f.before[at]
	if !ok {
		known = &facts{}
		f.before[at] = known
	}
	if known.join(s) && !slices.Contains(f.work, at) {
		f.work = append(f.work, at)
	}
}

// block follows instructions from at on to where paths meet.
func (f *flow) block(at int, s facts) {
	for i := at; i < len(f.insns); i++ {
		if _, ok := f.before[i]; ok && i != at {
			f.reach(i, &s)
			return
		}
		ins := f.insns[i]
		if writesR10(ins) { // never reached
			return
		}
		switch ins.Class() {
		case isa.ClassALU, isa.ClassALU64:
			s.reg[ins.Dst] = arithmeticOn(&s, ins)
		case isa.ClassLDX, isa.ClassST, isa.ClassSTX:
			f.access(i, &s, ins)
		case isa.ClassLD:
			if !ins.IsWide() {
				clobber(&s)
				break
			}
			s.reg[ins.Dst] = other
			if ins.Src == isa.PseudoMapFD || ins.Src == isa.PseudoMapIdx {
				s.reg[ins.Dst] = mapPtr
			}
			i++
		case isa.ClassJMP, isa.ClassJMP32:
			if distance, ok := jumpDistance(ins); ok {
				f.reach(i+1+int(distance), &s)
				if op := ins.Op; op == isa.ClassJMP|isa.JmpJA || op == isa.ClassJMP32|isa.JmpJA {
					return
				}
				f.reach(i+1, &s)
				return
			}
			if ins.Op == isa.ClassJMP|isa.JmpEXIT {
				f.returns(s.reg[isa.R0])
				return
			}
			f.call(i, &s, ins)
		}
	}
}

// arithmeticOn is what an ALU instruction leaves in its destination.
func arithmeticOn(s *facts, ins isa.Instruction) value {
	dst, src := s.reg[ins.Dst], s.reg[min(ins.Src, isa.R10)]
	register := ins.Op&isa.SrcX != 0
	if ins.Class() != isa.ClassALU64 {
		return other
	}
	switch op := ins.Op & 0xf0; {
	case op == isa.AluMOV && register && ins.Off == 0:
		return src
	case op == isa.AluADD && !register:
		return dst.add(ins.Imm)
	case op == isa.AluSUB && !register:
		return dst.add(-ins.Imm)
	case op == isa.AluADD || op == isa.AluSUB:
		if dst == other && src == other {
			return other
		}
		if dst.strange() || src.strange() {
			return unknown
		}
		return foreign
	}
	return other
}

// access follows a load, store or atomic operation.
func (f *flow) access(i int, s *facts, ins isa.Instruction) {
	load := ins.Class() == isa.ClassLDX || isLoadAcquire(ins)
	wide := ins.Op&0x18 == isa.SizeDW
	if load {
		base := s.reg[ins.Src]
		f.base[i] = f.base[i].join(base)
		s.reg[ins.Dst] = other
		if wide {
			s.reg[ins.Dst] = f.loaded(s, base, ins.Off)
		}
		return
	}
	base, stored := s.reg[ins.Dst], other
	f.base[i] = f.base[i].join(base)
	if ins.Class() == isa.ClassSTX && wide && (ins.Op&0xe0 == isa.ModeMEM || ins.Imm == isa.AtomicStoreRl) {
		stored = s.reg[ins.Src]
	}
	f.stored(s, base, ins, stored)
	if fetches(ins) {
		s.reg[ins.Src] = other
	}
	if ins.Op&0xe7 == isa.ClassSTX|isa.ModeATOMIC && ins.Imm == isa.AtomicCMPXCHG {
		s.reg[isa.R0] = other
	}
}

// loaded is what an 8-byte load gives.
func (f *flow) loaded(s *facts, base value, off int16) value {
	switch base.kind() {
	case framePtr:
		if slot, ok := slotOf(base.add(int32(off)).off()); ok {
			return s.slot[slot]
		}
		return other
	case other, ctxPtr:
		return other
	}
	if f.spills {
		return unknown
	}
	return foreign
}

// stored notes a store.
func (f *flow) stored(s *facts, base value, ins isa.Instruction, v value) {
	if v.strange() && !f.spills {
		f.spills, f.again = true, true
	}
	switch base.kind() {
	case framePtr:
		at := base.add(int32(ins.Off)).off()
		if slot, ok := slotOf(at); ok {
			s.slot[slot] = v
			break
		}
		for _, a := range []int32{at, at + int32(isa.SizeOf(ins.Op)) - 1} {
			if slot, ok := slotOf(a &^ 7); ok {
				s.slot[slot] = other
			}
		}
	case foreign, unknown:
		if ins.Op&0x18 == isa.SizeDW {
			s.overwritten()
		}
	}
}

// overwritten notes that something may have been stored over spilled contexts.
func (s *facts) overwritten() {
	for i, v := range s.slot {
		if v.kind() == ctxPtr {
			s.slot[i] = unknown
		}
	}
}

// call follows a call, which goes on behind it.
func (f *flow) call(i int, s *facts, ins isa.Instruction) {
	if !ins.IsCall(isa.CallLocal) {
		if h := helper.ByID(uint32(ins.Imm)); h != nil && slices.Contains(h.Args, helper.ArgPtrToFunc) {
			s.overwritten() // by the callback, through its argument
		}
		clobber(s)
		if f.mapOfMaps && ins.IsCall(isa.CallHelper) && ins.Imm == lookupID {
			s.reg[isa.R0] = mapPtr
		}
		return
	}
	callee, shares := newFrame(), false
	for r := isa.R1; r < isa.R6; r++ {
		v := s.reg[r]
		if v.kind() == framePtr {
			v = foreign
		}
		callee.reg[r] = v
		shares = shares || v == foreign || v == unknown
	}
	f.reach(i+1+int(ins.Imm), callee)
	if shares {
		s.overwritten()
	}
	clobber(s)
	s.reg[isa.R0] = max(f.ret, other)
}

// clobber is what every call does to the caller's registers.
func clobber(s *facts) {
	for r := isa.R0; r < isa.R6; r++ {
		s.reg[r] = other
	}
}

// returns notes what a function returns.
func (f *flow) returns(v value) {
	if v.kind() == framePtr {
		v = foreign
	}
	if ret := f.ret.join(v); ret != f.ret {
		f.ret, f.again = ret, true
	}
}
