package difftest

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/edgegen"
	"github.com/skep-ebpf/skep/internal/progen"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/engine"
	"github.com/skep-ebpf/skep/vm/exec"
)

// TestEdgePrograms runs programs that the verifier only just accepts in each engine: odd
// uses of the stack, of pointers and of numbers, and loops. Those whose result depends on
// where their memory lies are left out.
func TestEdgePrograms(t *testing.T) {
	seed := testenv.Seed(t)
	here, there := newState(t), newState(t)
	compared := 0
	for i := range *programsFlag / 50 {
		p := edgeProgram(rand.New(rand.NewPCG(seed, uint64(i))), i)
		if slices.ContainsFunc(p.Insns, func(ins isa.Instruction) bool { return ins.Op == isa.ClassJMP|isa.JmpJCOND }) {
			continue // a may_goto loop takes millions of turns
		}
		c := &progen.Case{Type: ebpf.SchedCLS, Progs: [][]isa.Instruction{p.Insns}, Packet: make([]byte, 64)}
		for _, m := range p.Maps {
			c.Maps = append(c.Maps, progen.Map{Name: m.Name, Type: m.Type, KeySize: m.KeySize, ValueSize: m.ValueSize, MaxEntries: m.MaxEntries})
		}
		run := func(s *exec.State, mode engine.Mode) (*Result, error) {
			s.Env.Rand = rand.New(rand.NewPCG(seed, uint64(i))).Uint32
			return runMachine(c, s, mode, 1)
		}
		want, err := run(here, engine.Fast)
		if err != nil {
			continue // refused
		}
		if again, err := run(there, engine.Fast); err != nil || !cmp.Equal(want, again) {
			continue
		}
		compared++
		for _, mode := range engine.Modes() {
			if got, err := run(here, mode); err != nil || !cmp.Equal(want, got) {
				t.Errorf("program %d of seed %d: %s differs from fast: error %v\n%s", i, seed, mode, err, cmp.Diff(want, got))
			}
		}
	}
	t.Logf("%d programs compared", compared)
}

// edgeProgram gives a program of one of the kinds in turn.
func edgeProgram(r *rand.Rand, i int) *edgegen.Program {
	kinds := []func(*rand.Rand) *edgegen.Program{
		edgegen.New, edgegen.Numbers, edgegen.Stack, edgegen.Pointers, edgegen.Loops, edgegen.Flow,
	}
	return kinds[i%len(kinds)](r)
}

func newState(t *testing.T) *exec.State {
	t.Helper()
	s, err := exec.NewState(0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
