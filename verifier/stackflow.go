package verifier

import (
	"math"
	"slices"

	"github.com/skep-ebpf/skep/isa"
)

// spill is a slot of the function's own stack that holds a pointer to some stack.
type spill struct {
	slot  uint8
	where where
}

// positions are where registers and spills point before an instruction. Spills are
// never changed, but replaced.
type positions struct {
	regs   [11]where
	spills []spill
}

// stackFlow follows pointers to stacks through functions.
type stackFlow struct {
	*checker
	in   []positions // before each instruction of the function being followed, from its first on
	u    *stackUse
	of   [][]*stackUse // by function
	done []bool        // functions that were followed
}

// run follows pointers through one function, called as u says, and notes in u what is
// done with them. The uses of functions that it calls with pointers are added to f.of.
func (f *stackFlow) run(u *stackUse) {
	f.u = u
	fn := &f.funcs[u.fn]
	f.in = slices.Grow(f.in[:0], fn.end-fn.Start)[:fn.end-fn.Start]
	clear(f.in)
	entry := f.at(fn.Start)
	for r := range entry.regs {
		entry.regs[r] = nowhere
	}
	copy(entry.regs[isa.R1:isa.R5+1], u.args[isa.R1:])
	entry.regs[isa.R10] = where{kind: whereFrame, n: 1}

	var buf [2]int
	for changed := true; changed; {
		changed = false
		for k := len(fn.postorder) - 1; k >= 0; k-- {
			i := int(fn.postorder[k])
			if f.at(i).regs[isa.R10].kind == whereUnseen {
				continue
			}
			out := *f.at(i)
			f.step(&out, i)
			for _, s := range f.successors(i, &buf) {
				changed = f.at(s).union(&out) || changed
			}
		}
	}
	for _, i := range fn.postorder {
		f.note(int(i))
	}
}

// at gives the positions before an instruction.
func (f *stackFlow) at(insn int) *positions { return &f.in[insn-f.funcs[f.u.fn].Start] }

// union joins what one more path says; it reports whether that changed anything.
func (p *positions) union(o *positions) (changed bool) {
	if p.regs[isa.R10].kind == whereUnseen {
		*p = *o
		return true
	}
	for r := range p.regs {
		if w := p.regs[r].union(o.regs[r]); w != p.regs[r] {
			p.regs[r], changed = w, true
		}
	}
	if slices.Equal(p.spills, o.spills) {
		return changed
	}
	joined := unionSpills(p.spills, o.spills)
	if !slices.Equal(joined, p.spills) {
		p.spills, changed = joined, true
	}
	return changed
}

// unionSpills joins two lists, each in the order of slots.
func unionSpills(a, b []spill) []spill {
	var joined []spill
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].slot < b[0].slot:
			joined = append(joined, spill{a[0].slot, a[0].where.union(nowhere)})
			a = a[1:]
		case len(a) == 0 || b[0].slot < a[0].slot:
			joined = append(joined, spill{b[0].slot, b[0].where.union(nowhere)})
			b = b[1:]
		default:
			joined = append(joined, spill{a[0].slot, a[0].where.union(b[0].where)})
			a, b = a[1:], b[1:]
		}
	}
	return joined
}

// step makes of the positions before an instruction those behind it.
func (f *stackFlow) step(p *positions, i int) {
	ins := &f.insns[i]
	dst, src := &p.regs[ins.Dst], p.regs[ins.Src]
	register := ins.Op&isa.SrcX != 0
	switch op := ins.Op & 0xf0; ins.Class() {
	case isa.ClassALU:
		*dst = nowhere
	case isa.ClassALU64:
		switch {
		case op == isa.AluMOV && (!register || ins.Off != 0):
			*dst = nowhere
		case op == isa.AluMOV:
			*dst = src
		case register:
			*dst = dst.mixed(src)
		case op == isa.AluADD:
			*dst = dst.plus(int64(ins.Imm))
		case op == isa.AluSUB:
			*dst = dst.plus(-int64(ins.Imm))
		case dst.kind == whereFrame:
			*dst = where{kind: whereFrame, frame: dst.frame}
		}
	case isa.ClassLDX:
		*dst = f.loaded(p, ins, src)
	case isa.ClassLD:
		if ins.IsWide() {
			*dst = nowhere
			break
		}
		p.clobber()
	case isa.ClassST:
		p.store(dst.plus(int64(ins.Off)), isa.SizeOf(ins.Op), nowhere)
	case isa.ClassSTX:
		f.stepStore(p, ins)
	case isa.ClassJMP:
		if op == isa.JmpCALL {
			p.clobber()
		}
	}
}

// clobber forgets what a call changes. It cannot store pointers to the stack.
func (p *positions) clobber() {
	for r := isa.R0; r <= isa.R5; r++ {
		p.regs[r] = nowhere
	}
}

// stepStore is step of stores of registers and of atomic instructions.
func (f *stackFlow) stepStore(p *positions, ins *isa.Instruction) {
	size, to := isa.SizeOf(ins.Op), p.regs[ins.Dst].plus(int64(ins.Off))
	if ins.Op&0xe0 != isa.ModeATOMIC {
		value := nowhere
		if size == 8 {
			value = p.regs[ins.Src]
		}
		p.store(to, size, value)
		return
	}
	if ins.Imm != isa.AtomicLoadAcq {
		p.store(to, size, nowhere)
	}
	if r := atomicResult(ins); r >= 0 {
		p.regs[r] = nowhere
	}
}

// loaded is where a loaded pointer leads.
func (f *stackFlow) loaded(p *positions, ins *isa.Instruction, from where) where {
	if ins.Op&0xe0 != isa.ModeMEM || isa.SizeOf(ins.Op) != 8 || from.kind < whereFrame {
		return nowhere
	}
	from = from.plus(int64(ins.Off))
	switch {
	case from.kind == whereFrame && from.frame == 0:
		return fill(p.spills, from)
	case from.kind == whereFrame && from.frame == 1:
		return fill(f.u.caller, where{kind: whereFrame, n: from.n, off: from.off}).in()
	}
	// A function's stack holds pointers to its own and to those further up.
	low := from.mask() & -from.mask()
	return where{kind: whereSome, frames: -low}
}

// fill is where what is loaded from one of a frame's slots leads.
func fill(spills []spill, from where) where {
	anywhere := where{kind: whereSome, frames: math.MaxUint8}
	if from.n == 0 {
		return anywhere
	}
	var w where
	for _, off := range from.off[:from.n] {
		if off >= 0 || off < -isa.StackSize || off%8 != 0 {
			return anywhere
		}
		if at := findSpill(spills, slotAt(int(off))); at >= 0 {
			w = w.union(spills[at].where)
		} else {
			w = w.union(nowhere)
		}
	}
	return w
}

func findSpill(spills []spill, slot int) int {
	return slices.IndexFunc(spills, func(s spill) bool { return int(s.slot) == slot })
}

// store notes that a value is stored.
func (p *positions) store(to where, size int, value where) {
	own := to.kind == whereFrame && to.frame == 0 || to.kind == whereSome && to.frames&1 != 0
	if !own || value == nowhere && len(p.spills) == 0 {
		return
	}
	if to.kind == whereSome || to.n == 0 {
		for slot := range isa.StackSize / 8 {
			p.set(slot, value, false)
		}
		return
	}
	for _, o := range to.off[:to.n] {
		first, last := int(o), int(o)+size-1
		if last >= 0 || first < -isa.StackSize {
			continue
		}
		sure := to.n == 1
		if value != nowhere && first%8 == 0 {
			p.set(slotAt(first), value, sure)
			continue
		}
		for slot := slotAt(last); slot <= slotAt(first); slot++ {
			p.set(slot, nowhere, sure)
		}
	}
}

// set makes a slot hold a value, or perhaps hold it.
func (p *positions) set(slot int, value where, sure bool) {
	at := findSpill(p.spills, slot)
	if at < 0 {
		if value == nowhere {
			return
		}
		if !sure {
			value = value.union(nowhere)
		}
		at, _ = slices.BinarySearchFunc(p.spills, slot, func(s spill, n int) int { return int(s.slot) - n })
		p.spills = slices.Insert(slices.Clone(p.spills), at, spill{uint8(slot), value})
		return
	}
	p.spills = slices.Clone(p.spills)
	switch {
	case !sure:
		p.spills[at].where = p.spills[at].where.union(value)
	case value == nowhere:
		p.spills = slices.Delete(p.spills, at, at+1)
	default:
		p.spills[at].where = value
	}
}

// note notes what an instruction does with the stack.
func (f *stackFlow) note(i int) {
	ins, p := &f.insns[i], f.at(i)
	size := isa.SizeOf(ins.Op)
	ptr := p.regs[ins.Dst]
	switch ins.Class() {
	case isa.ClassLDX:
		ptr = p.regs[ins.Src]
	case isa.ClassST:
		size = -size
	case isa.ClassSTX:
		switch {
		case ins.Op&0xe0 != isa.ModeATOMIC || ins.Imm == isa.AtomicStoreRl:
			size = -size
		case ins.Imm == isa.AtomicLoadAcq:
			ptr = p.regs[ins.Src]
		}
	case isa.ClassJMP:
		if ins.Op == isa.ClassJMP|isa.JmpCALL {
			f.noteCall(i)
		}
		return
	default:
		return
	}
	f.noteAccess(f.u, i, ptr.plus(int64(ins.Off)), size)
}

// noteCall is note of a call.
func (f *stackFlow) noteCall(i int) {
	ins, p := &f.insns[i], f.at(i)
	if ins.Src == isa.CallLocal {
		var args [6]where
		for r := isa.R1; r <= isa.R5; r++ {
			args[r] = p.regs[r].in()
		}
		f.noteCallee(i, f.funcAt(callee(i, ins)), args)
		return
	}
	for n := range f.params(i) {
		if w := p.regs[isa.R1+n]; w.kind >= whereFrame {
			f.noteAccess(f.u, i, w, f.stackAccess(i, n))
		}
	}
	how, ok := callbackArgs[ins.Imm]
	if !ok || ins.Src != isa.CallHelper {
		return
	}
	context := p.regs[how.context]
	fn := f.checker.constants[i][how.fn]
	if fn.kind != constantFunc {
		// One of several callbacks.
		if context.kind >= whereFrame {
			f.noteAccess(f.u, i, where{kind: whereSome, frames: math.MaxUint8}, readsUnknown)
		}
		return
	}
	var args [6]where
	for r := range args {
		args[r] = nowhere
	}
	args[how.argument] = context.in()
	f.noteCallee(i, int(fn.value), args)
}

// callbackArgs are the registers in which helpers get a callback and what it is
// passed, and the one in which the callback gets that.
var callbackArgs = map[int32]struct{ fn, context, argument int }{
	helperLoop:             {isa.R2, isa.R3, isa.R2},
	helperForEachMapElem:   {isa.R2, isa.R3, isa.R4},
	helperFindVMA:          {isa.R3, isa.R4, isa.R3},
	helperUserRingbufDrain: {isa.R2, isa.R3, isa.R2},
}

// noteCallee notes how a function is called.
func (f *stackFlow) noteCallee(i, fn int, args [6]where) {
	if !slices.ContainsFunc(args[isa.R1:], func(w where) bool { return w.kind >= whereFrame }) && f.uses.called[i] == nil {
		if f.uses.alone[fn] == nil {
			f.uses.alone[fn] = &stackUse{fn: fn}
			if f.done[fn] {
				f.uses.alone[fn].fn = noFunction
			}
		}
		return
	}
	u := f.uses.called[i]
	switch {
	case f.done[fn]:
		f.uses.called[i] = &stackUse{fn: noFunction}
		f.noteAccess(f.u, i, where{kind: whereSome, frames: math.MaxUint8}, readsUnknown)
	case u == nil:
		u = &stackUse{fn: fn, depth: min(f.u.depth+1, isa.MaxFrames-1), args: args, caller: f.at(i).spills}
		f.uses.called[i] = u
		f.of[fn] = append(f.of[fn], u)
	default:
		for r := range u.args {
			u.args[r] = u.args[r].union(args[r])
		}
		u.caller = unionSpills(u.caller, f.at(i).spills)
		u.depth = max(u.depth, min(f.u.depth+1, isa.MaxFrames-1))
	}
}
