package optest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// Operations runs each operation count times with each way to make code, a few
// times with different numbers.
func (b *Backend) Operations(t *testing.T, count int) {
	seed := testenv.Seed(t)
	vars, regs := b.variables()
	r := &random{rand.New(rand.NewPCG(seed, 1)), vars, regs}
	for _, name := range slices.Sorted(maps.Keys(b.Emit)) {
		t.Run(name, func(t *testing.T) {
			p, at := &ir.Program{}, [][]ir.Ins{}
			for n := range ordinary {
				p.Funcs = append(p.Funcs, b.callee(n))
			}
			for op := ir.Add; op <= ir.Branch; op++ {
				if op == ir.Jump {
					continue // each function has some
				}
				for range count {
					more := []int{0, 0, 4096, 70_000}[r.IntN(4)]
					ins := []ir.Ins{r.instruction(op, fixed+more)}
					if n := r.second(&ins[0], fixed+more); n != nil {
						ins = append(ins, *n)
					}
					p.Funcs = append(p.Funcs, b.around(ins, more, r.IntN(3)))
					p.Funcs = append(p.Funcs, b.caller(len(p.Funcs)-1))
					at = append(at, ins)
				}
			}
			code, err := b.Emit[name](p)
			if err != nil {
				t.Fatal(err)
			}
			n := b.native(t, code)
			block, err := mem.New(uint64(unsafe.Sizeof(shared{})))
			if err != nil {
				t.Fatal(err)
			}
			defer block.Free()
			for k, ins := range at {
				for range 5 {
					fn := ordinary + 2*k
					r.once(n, fn, ins, (*shared)(mem.At(block.Addr())), p.Funcs[fn].Frame)
				}
			}
		})
	}
}

// once runs an instruction, or two, in a function, called by the one
// behind it.
func (r *random) once(n *native, fn int, ins []ir.Ins, s *shared, frame int) {
	n.t.Helper()
	i := &ins[0]
	given := state{base: addressOf(&s.memory[0])}
	r.state(i, &given)
	r.reply(n, i, &given)
	*s = given.shared
	got := state{reply: given.reply}
	n.ctx.Args[0], n.ctx.Budget = addressOf(&s.vars[0]), given.budget
	r0 := n.run(fn+1, got.serve)
	got.shared, got.budget = *s, n.ctx.Budget

	want := given
	want.frame, want.low, want.went = s.frame, s.frame-uint64(frame), 1
	if i.Op == ir.Context {
		want.vars[i.Dst] = uint64(uintptr(unsafe.Pointer(n.ctx)))
	} else {
		for k := range ins {
			want.evaluate(&ins[k])
		}
	}
	diff := got.exitsDiffer(&want)
	switch {
	case diff != "":
	case r0 != given.reply.result+found:
		diff = fmt.Sprintf("ends with %#x, not %#x", r0, given.reply.result+found)
	case !given.reply.ends:
		diff = got.differs(&want, r.matter(ins))
	}
	if diff != "" {
		n.t.Fatalf("%+v: %s\ngiven %#x\n% x", ins, diff, given.vars, n.function(fn))
	}
}

func addressOf(p *uint64) uint64 { return uint64(uintptr(unsafe.Pointer(p))) }

// matter are the variables that are looked at behind instructions.
func (r *random) matter(ins []ir.Ins) (vars ir.Set) {
	for _, v := range r.vars {
		if !ins[0].Leaves() || ins[0].Live.Has(r.regs[v]) {
			vars |= ir.Of(v)
		}
	}
	for k := range ins {
		i := &ins[k]
		if i.Op != ir.Mov && i.Op != ir.Load && i.Op != ir.LoadSext && (i.Op != ir.Store || i.C == ir.None) {
			vars &^= ir.Of(ir.Scratch0) | ir.Of(ir.Scratch1)
		}
		vars |= ir.Of(i.Dst)
	}
	return vars
}

// reply is what Go answers to exits. Now and then it is that the function ends: with
// R0, or as another program does.
func (r *random) reply(n *native, i *ir.Ins, s *state) {
	s.reply = reply{r0: r.number(), r1: r.number(), result: returned}
	if r.half() {
		return
	}
	switch {
	case i.Op == ir.Packet:
		s.reply.arg, s.reply.ends, s.reply.result = 1, true, s.reply.r0
	case i.Op == ir.TailCall && r.half():
		s.reply.arg, s.reply.ends, s.reply.result = uint64(n.addr(n.code.Return)), true, s.reply.r0
	case i.Op == ir.TailCall:
		s.reply.arg, s.reply.ends, s.reply.result = uint64(n.addr(n.code.Entries[first])), true, s.reply.r1
	}
}
