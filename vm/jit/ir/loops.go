package ir

import (
	"slices"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/maps"
)

// maxLoops is the most turns that bpf_loop and a number iterator take on
// (BPF_MAX_LOOPS).
const maxLoops = 8 << 20

// Where a number iterator has the number it gave last, and the one it does not reach.
const (
	iterNumCur = 0
	iterNumEnd = 4
)

// loop is bpf_loop with a function that is known: a loop that calls it. Linux, too,
// takes the number of turns as 64 bits and gives this error as 32.
func (e *expander) loop(s site) {
	callback := e.callback(s)
	n, i, ctx := e.kept[0], e.kept[1], e.kept[2]
	flags, many, head, done := e.block(), e.block(), e.block(), e.block()
	e.branch(Cold, Ne, 4, None, 0, flags)
	e.branch(Cold, Ugt, 1, None, maxLoops, many)
	e.mov(n, 1)
	e.mov(ctx, 3)
	e.constant(i, 0)
	e.branch(0, Eq, n, None, 0, done)
	e.jump(head)
	e.begin(head)
	e.mov(1, i)
	e.mov(2, ctx)
	e.add(Ins{Op: Call, Dst: 0, A: None, B: None, C: None, N: 2, Imm: callback})
	e.imm(Add, i, i, 1)
	e.add(Ins{Op: Fuel, Dst: None, A: None, B: None, C: None, Imm: e.weight(callback)})
	e.branch(0, Ne, 0, None, 0, done)
	e.branch(0, Ult, i, n, 0, head)
	e.jump(done)
	e.begin(done)
	e.mov(0, i)
	next := e.block()
	e.jump(next)
	e.fail(many, uint64(uint32(errno.E2BIG.Ret())), next)
	e.fail(flags, errno.EINVAL.Ret(), next)
	e.begin(next)
	e.run(s.rest, s.succ)
}

// forEach is bpf_for_each_map_elem of an array with a function that is known: a loop
// that calls it with the map, the index, which lies in the frame, the value and a
// context.
func (e *expander) forEach(s site) {
	callback := e.callback(s)
	m := e.mapOf(s.call)
	layout, _ := maps.Native(m)
	i, ctx, cpu := e.kept[0], e.kept[1], e.kept[2]
	flags, head, done, next := e.block(), e.block(), e.block(), e.block()
	e.branch(Cold, Ne, 4, None, 0, flags)
	e.f.Frame += 8
	key := -e.f.Frame
	e.mov(ctx, 3)
	e.constant(i, 0)
	if layout.Row != 0 {
		e.cpu(cpu)
	}
	e.jump(head)
	e.begin(head)
	e.store(Frame, key, i, 4)
	e.scale(3, i, uint64(layout.Stride))
	e.imm(Add, 3, 3, uint64(layout.Values))
	if layout.Row != 0 {
		e.scale(4, cpu, uint64(layout.Row))
		e.op(Add, 3, 3, 4)
	}
	e.constant(1, uint64(m.Info().Handle))
	e.add(Ins{Op: Lea, Size: 8, Dst: 2, A: Frame, B: None, C: None, Off: int32(key)})
	e.mov(4, ctx)
	e.add(Ins{Op: Call, Dst: 0, A: None, B: None, C: None, N: 4, Imm: callback})
	e.imm(Add, i, i, 1)
	e.add(Ins{Op: Fuel, Dst: None, A: None, B: None, C: None, Imm: e.weight(callback)})
	e.branch(0, Ne, 0, None, 0, done)
	e.branch(0, Ult, i, None, uint64(layout.N), head)
	e.jump(done)
	e.begin(done)
	e.mov(0, i)
	e.jump(next)
	e.fail(flags, errno.EINVAL.Ret(), next)
	e.begin(next)
	e.run(s.rest, s.succ)
}

// fail is a block, hardly ever reached, that makes R0 a number and goes on.
func (e *expander) fail(block int32, n uint64, next int32) {
	e.beginCold(block)
	e.constant(0, n)
	e.jump(next)
}

// callback gives the index of the function that a call is given the address of in
// R2; -1 where that is not known, or it does not come before the function that is
// being expanded.
func (e *expander) callback(s site) int64 {
	entry, ok := s.number(2)
	if !ok {
		return -1
	}
	at := slices.IndexFunc(e.prog.Funcs, func(f *Func) bool { return f.Entry == int(uint32(entry)) })
	if at >= slices.Index(e.prog.Funcs, e.f) {
		return -1
	}
	return int64(at)
}

// weight is what a call of a function takes of the budget, without its loops, which
// take theirs themselves.
func (e *expander) weight(fn int64) int64 {
	w := int64(1)
	for b := range e.prog.Funcs[fn].Blocks {
		for k := range e.prog.Funcs[fn].Blocks[b].Ins {
			switch i := &e.prog.Funcs[fn].Blocks[b].Ins[k]; {
			case i.Op == Helper:
				w += helperWeight
			case i.Op == Call && i.Imm >= 0:
				w += e.weight(i.Imm)
			default:
				w++
			}
		}
	}
	return min(w, maxWeight)
}

// iterNumNew is bpf_iter_num_new: R1 is the iterator, R2 and R3 are where it begins
// and what it does not reach, numbers of 4 bytes.
func (e *expander) iterNumNew(s site) {
	wrong, many, next := e.block(), e.block(), e.block()
	for v := Var(2); v <= 3; v++ {
		e.add(Ins{Op: Sext, Size: 8, Width: 4, Dst: v, A: v, B: None, C: None})
	}
	e.branch(Cold, Sgt, 2, 3, 0, wrong)
	e.op(Sub, 4, 3, 2)
	e.branch(Cold, Sgt, 4, None, maxLoops, many)
	e.imm(Sub, 2, 2, 1)
	e.store(1, iterNumCur, 2, 4)
	e.store(1, iterNumEnd, 3, 4)
	e.constant(0, 0)
	e.jump(next)
	for _, failure := range []struct {
		block int32
		why   errno.Errno
	}{{wrong, errno.EINVAL}, {many, errno.E2BIG}} {
		e.beginCold(failure.block)
		e.iterNumEmpty()
		e.constant(0, failure.why.Ret())
		e.jump(next)
	}
	e.begin(next)
	e.run(s.rest, s.succ)
}

// iterNumNext is bpf_iter_num_next, which gives the address of the next number.
func (e *expander) iterNumNext(s site) {
	over := e.block()
	e.load(Load, 2, 1, iterNumCur, 4)
	e.load(Load, 3, 1, iterNumEnd, 4)
	e.imm4(Add, 2, 2, 1)
	e.branch4(Sge, 2, 3, over)
	e.store(1, iterNumCur, 2, 4)
	e.mov(0, 1)
	e.found(over, e.iterNumEmpty, s)
}

// iterNumDestroy is bpf_iter_num_destroy.
func (e *expander) iterNumDestroy(s site) {
	e.iterNumEmpty()
	e.constant(0, 0)
	e.run(s.rest, s.succ)
}

// iterNumEmpty leaves the iterator at R1 without numbers.
func (e *expander) iterNumEmpty() {
	for _, at := range []int{iterNumCur, iterNumEnd} {
		e.add(Ins{Op: Store, Width: 4, Dst: None, A: 1, B: None, C: None, Off: int32(at)})
	}
}

// nothing is a helper that does nothing here.
func (e *expander) nothing(s site) {
	e.constant(0, 0)
	e.run(s.rest, s.succ)
}
