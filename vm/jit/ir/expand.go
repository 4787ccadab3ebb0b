package ir

import (
	"slices"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/helper"
	"github.com/skep-ebpf/skep/vm/jit/abi"
	"github.com/skep-ebpf/skep/vm/maps"
)

// The numbers of the helpers that have no need of Go.
const (
	mapLookup       = 1
	mapUpdate       = 2
	randomU32       = 7
	processorID     = 8
	redirect        = 23
	skbLoadBytes    = 26
	skbPullData     = 39
	redirectMap     = 51
	ringbufOutput   = 130
	ringbufReserve  = 131
	ringbufSubmit   = 132
	ringbufDiscard  = 133
	mapForEach      = 164
	bpfLoop         = 181
	mapLookupPerCPU = 195
)

// maxInlineValue is the longest value that an update copies without Go, in bytes.
const maxInlineValue = 64

// Expand puts instructions in the place of helper calls that have no need of Go:
// operations on maps that are known, and a few others. What they read and write is
// what the helpers would.
func (p *Program) Expand(c *Calls) {
	p.Calls = c
	e := &expander{prog: p, calls: c, lookups: make([]int64, len(c.Maps))}
	for _, f := range p.Funcs {
		if f.callsHelpers() {
			e.function(f)
		}
	}
	p.prepend(e.routines)
}

// prepend puts routines in front of the functions, which call them by ^index until
// then.
func (p *Program) prepend(routines []*Func) {
	if len(routines) == 0 {
		return
	}
	for _, f := range p.Funcs {
		for b := range f.Blocks {
			for k := range f.Blocks[b].Ins {
				switch i := &f.Blocks[b].Ins[k]; {
				case i.Op == Call && i.Imm < 0:
					i.Imm = ^i.Imm
				case i.Op == Call:
					i.Imm += int64(len(routines))
				}
			}
		}
	}
	p.Funcs = append(routines, p.Funcs...)
}

// expander rewrites functions.
type expander struct {
	prog     *Program
	calls    *Calls
	routines []*Func
	lookups  []int64 // by map: what calls the routine that looks keys up in it, or 0
	kept     []Var   // variables of the function for what an expansion keeps over a call; nil: there are too few
	*builder
}

// callsHelpers reports whether a function calls any.
func (f *Func) callsHelpers() bool {
	for b := range f.Blocks {
		for k := range f.Blocks[b].Ins {
			if op := f.Blocks[b].Ins[k].Op; op == Helper || op == TailCall {
				return true
			}
		}
	}
	return false
}

// site is a call: its instruction, and those before and behind it in its block.
type site struct {
	before []Ins
	call   *Ins
	rest   []Ins
	succ   [2]int32
}

// number gives the number that the instructions before a call leave in a variable, as
// far as one look says.
func (s *site) number(v Var) (n int64, ok bool) {
	for k := len(s.before) - 1; k >= 0; k-- {
		if i := &s.before[k]; i.Kills()&Of(v) != 0 {
			return i.Imm, i.Op == Const
		}
	}
	return 0, false
}

// expansion gives the method that writes what belongs in the place of a call, and
// what is behind it; nil where the call stays.
func (e *expander) expansion(s site) func(*expander, site) {
	h := e.calls.Helpers[s.call.Imm]
	if h.Guarded {
		return nil
	}
	switch h.ID {
	case 0:
		return kfuncExpansion(h.Name)
	case randomU32:
		return (*expander).random
	case processorID:
		return (*expander).processorID
	case skbLoadBytes:
		if n, ok := s.number(4); ok && 0 < n && n <= maxInlineLoad {
			return (*expander).skbLoadBytes
		}
	case skbPullData:
		return (*expander).skbPullData
	case redirect:
		return (*expander).redirect
	case redirectMap:
		if m := e.mapOf(s.call); m != nil && m.Info().Type == ebpf.DevMap {
			return (*expander).redirectMap
		}
	case bpfLoop:
		if e.kept != nil && e.callback(s) >= 0 {
			return (*expander).loop
		}
	case mapForEach:
		if m := e.mapOf(s.call); m != nil && e.kept != nil && e.callback(s) >= 0 {
			if layout, ok := maps.Native(m); ok && layout.N != 0 && !layout.Handles {
				return (*expander).forEach
			}
		}
	case ringbufSubmit:
		return (*expander).ringbufSubmit
	case ringbufDiscard:
		return (*expander).ringbufDiscard
	case ringbufReserve:
		if e.ring(s.call) != nil {
			return (*expander).ringbufReserve
		}
	case ringbufOutput:
		r := e.ring(s.call)
		if n, ok := s.number(3); ok && r != nil && e.kept != nil && uint64(n) <= min(maxInlineRecord, r.Longest()) {
			return (*expander).ringbufOutput
		}
	case mapLookup, mapUpdate, mapLookupPerCPU:
		if m := e.mapOf(s.call); m != nil {
			if layout, ok := maps.Native(m); ok && layout.N != 0 {
				return e.arrayExpansion(h.ID, m.Info())
			}
		}
		if h.ID == mapLookup && e.kept != nil && len(e.routineMaps(s.call)) > 0 {
			return (*expander).routineLookup
		}
	}
	return nil
}

// kfuncExpansion is expansion for a kernel function.
func kfuncExpansion(name string) func(*expander, site) {
	switch name {
	case "bpf_iter_num_new":
		return (*expander).iterNumNew
	case "bpf_iter_num_next":
		return (*expander).iterNumNext
	case "bpf_iter_num_destroy":
		return (*expander).iterNumDestroy
	case "bpf_rcu_read_lock", "bpf_rcu_read_unlock", "bpf_preempt_disable", "bpf_preempt_enable":
		return (*expander).nothing
	}
	return nil
}

func (e *expander) arrayExpansion(id uint32, info *maps.Info) func(*expander, site) {
	switch {
	case id == mapLookup, id == mapLookupPerCPU && info.PerCPU():
		return (*expander).arrayLookup
	case id == mapUpdate && info.Type != ebpf.ArrayOfMaps && len(info.Fields) == 0 && info.ValueSize <= maxInlineValue:
		return (*expander).arrayUpdate
	}
	return nil
}

// findMap finds out which map a helper is called with where the verifier does not
// say, but an instruction before does.
func (e *expander) findMap(s site) {
	args := e.calls.Helpers[s.call.Imm].Args
	if s.call.Off != 0 || len(args) == 0 || args[0] != helper.ArgConstMapPtr {
		return
	}
	e.findMapIn(s, 1)
}

// findMapIn does so where a register has the map's handle.
func (e *expander) findMapIn(s site, r Var) {
	if handle, ok := s.number(r); ok {
		s.call.Off = 1 + int32(slices.IndexFunc(e.calls.Maps, func(m maps.Map) bool { return uint64(m.Info().Handle) == uint64(handle) }))
	}
}

// mapOf is the map that a helper is called with, nil where it is not known.
func (e *expander) mapOf(i *Ins) maps.Map {
	if i.Off == 0 {
		return nil
	}
	return e.calls.Maps[i.Off-1]
}

// function rewrites a function.
func (e *expander) function(f *Func) {
	old := f.Blocks
	e.kept = nil
	if f.Vars+3 <= MaxVars {
		e.kept = []Var{f.NewVar(), f.NewVar(), f.NewVar()}
	}
	e.builder = &builder{f: f, blocks: make([]Block, len(old), 2*len(old))}
	for i := range old {
		e.begin(int32(i))
		e.run(old[i].Ins, old[i].Succ)
	}
	e.finish()
}

// run writes instructions, and says where the block leads that ends with them.
func (e *expander) run(ins []Ins, succ [2]int32) {
	for k := range ins {
		i, s := &ins[k], site{ins[:k], &ins[k], ins[k+1:], succ}
		var write func(*expander, site)
		switch i.Op {
		case Helper:
			e.findMap(s)
			write = e.expansion(s)
		case TailCall:
			write = e.tailCallExpansion(s)
		}
		if write != nil {
			e.from = i.At
			e.take(ins[:k])
			write(e, s)
			return
		}
	}
	e.take(ins)
	e.end(succ[:]...)
}

// take adds instructions that no other block will have, and so need no copying.
func (e *expander) take(ins []Ins) {
	if b := &e.blocks[e.now]; len(b.Ins) == 0 {
		b.Ins = ins[:len(ins):len(ins)]
		return
	}
	e.copy(ins...)
}

// found goes on behind a call whose result is in R0, an address. Where it is NULL
// the call came to the block miss, which begins with what write writes. Mostly a
// program then asks whether the result is NULL, which is known here.
func (e *expander) found(miss int32, write func(), s site) {
	n, null, other := nullTest(s)
	if n < 0 {
		e.join(miss, write, s)
		return
	}
	e.copy(s.rest[:n]...)
	e.jump(other)
	e.beginCold(miss)
	write()
	e.constant(0, 0)
	e.copy(s.rest[:n]...)
	e.jump(null)
}

// join goes on behind such a call on both ways.
func (e *expander) join(miss int32, write func(), s site) {
	next := e.block()
	e.jump(next)
	e.beginCold(miss)
	write()
	e.constant(0, 0)
	e.jump(next)
	e.begin(next)
	e.run(s.rest, s.succ)
}

// maxBefore is how many instructions may stand before a test for NULL.
const maxBefore = 6

// nullTest gives which of the instructions behind a call is a test whether its
// result is NULL, and where it leads then, and otherwise; -1 where there is none.
func nullTest(s site) (n int, null, other int32) {
	results := Of(0) // variables that have the result
	for n := range s.rest[:min(len(s.rest), maxBefore+1)] {
		switch i := &s.rest[n]; {
		case i.Op == Branch && results&Of(i.A) != 0 && i.B == None && i.Imm == 0 && i.Size == 8 && i.Cond <= Ne:
			return n, s.succ[i.Cond], s.succ[i.Cond.Not()]
		case i.Op == Mov && i.Size == 8 && results&Of(i.A) != 0:
			results |= Of(i.Dst)
		case i.Pure() || i.Op == Store:
			results &^= Of(i.Dst)
		default:
			return -1, 0, 0
		}
	}
	return -1, 0, 0
}

// processorID is bpf_get_smp_processor_id.
func (e *expander) processorID(s site) {
	e.cpu(0)
	e.run(s.rest, s.succ)
}

// random is bpf_get_prandom_u32: a generator whose state lies in the context, where
// the host's numbers are not replaced by others. It adds a constant and multiplies the
// sum by itself with some bits changed, as wyrand does.
func (e *expander) random(s site) {
	ask, next := e.block(), e.block()
	e.op(Context, 1, None, None)
	e.load(Load, 0, 1, int(abi.OffRandom), 8)
	e.branch(Cold, Eq, 0, None, 0, ask)
	e.imm(Add, 0, 0, 0xa0761d6478bd642f)
	e.store(1, int(abi.OffRandom), 0, 8)
	e.imm(Xor, 1, 0, 0xe7037ed1a0b428db)
	e.op(MulHi, 2, 0, 1)
	e.op(Mul, 0, 0, 1)
	e.op(Xor, 0, 0, 2)
	e.add(Ins{Op: Zext, Size: 8, Width: 4, Dst: 0, A: 0, B: None, C: None})
	e.jump(next)
	e.beginCold(ask)
	e.copy(*s.call)
	e.jump(next)
	e.begin(next)
	e.run(s.rest, s.succ)
}

// arrayLookup is bpf_map_lookup_elem and bpf_map_lookup_percpu_elem of an array.
func (e *expander) arrayLookup(s site) {
	m := e.mapOf(s.call)
	layout, _ := maps.Native(m)
	miss := e.block()
	if e.calls.Helpers[s.call.Imm].ID == mapLookupPerCPU {
		e.add(Ins{Op: Zext, Size: 8, Width: 4, Dst: 3, A: 3, B: None, C: None})
		e.branch(Cold, Uge, 3, None, uint64(m.Info().CPUs), miss)
	} else if layout.Row != 0 {
		e.cpu(3)
	}
	e.arrayElem(&layout, miss)
	if layout.Handles {
		e.load(Load, 0, 0, 0, 4)
		e.join(miss, func() {}, s)
		return
	}
	e.found(miss, func() {}, s)
}

// arrayElem makes R0 the address of the value whose index R2 leads to, of the CPU
// in R3 where the array is per-CPU. Where there is none it goes to the block beyond.
func (e *expander) arrayElem(l *maps.Layout, beyond int32) {
	e.load(Load, 0, 2, 0, 4)
	e.branch(Cold, Uge, 0, None, uint64(l.N), beyond)
	e.scale(0, 0, uint64(l.Stride))
	e.imm(Add, 0, 0, uint64(l.Values))
	if l.Row != 0 {
		e.scale(3, 3, uint64(l.Row))
		e.op(Add, 0, 0, 3)
	}
}

// arrayUpdate is bpf_map_update_elem of an array whose values are plain memory.
// Other flags than BPF_ANY are for the helper.
func (e *expander) arrayUpdate(s site) {
	layout, _ := maps.Native(e.mapOf(s.call))
	flags, beyond, next := e.block(), e.block(), e.block()
	e.branch(Cold, Ne, 4, None, 0, flags)
	value := Var(3)
	if layout.Row != 0 {
		value = 4
		e.mov(value, 3)
		e.cpu(3)
	}
	e.arrayElem(&layout, beyond)
	e.copyBytes(0, value, 1, int(e.mapOf(s.call).Info().ValueSize))
	e.constant(0, 0)
	e.jump(next)
	e.beginCold(beyond)
	e.constant(0, errno.E2BIG.Ret())
	e.jump(next)
	e.beginCold(flags)
	e.copy(*s.call)
	e.jump(next)
	e.begin(next)
	e.run(s.rest, s.succ)
}

// hasRoutine reports whether keys are looked up in a map by a routine of its own.
func hasRoutine(l *maps.Layout) bool {
	if l.Trie != nil {
		return prefixWords(l) > 0
	}
	return l.N == 0 && l.Hash.KeySize <= maxNativeKey
}

// routineLookup is bpf_map_lookup_elem of such maps: a call of the map's routine, and
// of the helper if that does not know, or the map is another one.
func (e *expander) routineLookup(s site) {
	called := e.routineMaps(s.call)
	ask, answered, next := e.block(), e.block(), e.block()
	e.mov(e.kept[0], 2)
	e.mov(e.kept[1], 1)
	for i, m := range called {
		other := ask
		if i < len(called)-1 {
			other = e.block()
		}
		if s.call.Off == 0 {
			e.branch(0, Ne, 1, None, uint64(e.calls.Maps[m].Info().Handle), other)
		}
		e.add(Ins{Op: Call, Dst: 0, A: None, B: None, C: None, N: 2, Imm: e.lookup(m)})
		e.jump(answered)
		if other != ask {
			e.begin(other)
		}
	}
	e.begin(answered)
	e.branch(Cold, Eq, 0, None, undecided, ask)
	e.jump(next)
	e.beginCold(ask)
	e.mov(1, e.kept[1])
	e.mov(2, e.kept[0])
	e.copy(*s.call)
	e.jump(next)
	e.begin(next)
	e.run(s.rest, s.succ)
}

// routineMaps are the indices of the maps that a helper is called with, as far as each
// has a routine.
func (e *expander) routineMaps(i *Ins) (called []int) {
	all := []int{int(i.Off) - 1}
	if i.Off == 0 {
		all = nil
		if e.calls.Several != nil {
			all = e.calls.Several(i.At)
		}
	}
	for _, m := range all {
		if layout, ok := maps.Native(e.calls.Maps[m]); ok && hasRoutine(&layout) {
			called = append(called, m)
		}
	}
	return called
}

// lookup gives what calls the routine for a map.
func (e *expander) lookup(m int) int64 {
	if e.lookups[m] == 0 {
		e.lookups[m] = ^int64(len(e.routines))
		layout, _ := maps.Native(e.calls.Maps[m])
		write := newLookup
		if layout.Trie != nil {
			write = newPrefixLookup
		}
		routine := write(e.calls.Maps[m], layout)
		routine.work = e.prog.work
		e.routines = append(e.routines, routine)
	}
	return e.lookups[m]
}

// copyBytes copies n bytes from one address to another, by way of a variable.
func (b *builder) copyBytes(to, from, by Var, n int) {
	for at := 0; at < n; {
		width := 8
		for width > n-at {
			width /= 2
		}
		b.load(Load, by, from, at, width)
		b.store(to, at, by, width)
		at += width
	}
}
