//go:build amd64 || arm64

package jit

import (
	"encoding/binary"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/interp"
	"github.com/skep-ebpf/skep/vm/maps"
)

// progArray is a program array of programs, and its handle.
func progArray(t *testing.T, progs ...any) uint64 {
	t.Helper()
	m, err := maps.New(&ebpf.MapSpec{Name: "progs", Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: 8}, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	for i, p := range progs {
		put(t, m, i, p)
	}
	return uint64(m.Info().Handle)
}

// put makes a program the element i of a program array.
func put(t *testing.T, array maps.Map, i int, prog any) {
	t.Helper()
	id := maps.RegisterProg(prog)
	t.Cleanup(func() { maps.UnregisterProg(id) })
	key, value := binary.NativeEndian.AppendUint32(nil, uint32(i)), binary.NativeEndian.AppendUint32(nil, id)
	if err := array.UserUpdate(key, value, 0); err != nil {
		t.Fatal(err)
	}
}

func TestTailCall(t *testing.T) {
	first := handProgram(t, hand.first, nil)
	// A helper that runs in the program that a tail call began, and calls it back.
	helps := handProgram(t, hand.helps, func(s *exec.State, r1, _, _, _, _ uint64) uint64 {
		got, err := s.Engine.Callback(s, atFirst, &[5]uint64{5}, nil)
		if err != nil {
			t.Error(err)
		}
		s.Engine.Throw(got + r1 - uint64(s.Ctx()))
		return 0
	})
	in := *first.Input()
	in.Insns = []isa.Instruction{
		{Op: isa.ClassALU64 | isa.SrcX | isa.AluMOV, Dst: isa.R0, Src: isa.R1},
		{Op: isa.ClassALU64 | isa.AluADD, Dst: isa.R0, Imm: 3},
		{Op: isa.ClassJMP | isa.JmpEXIT},
	}
	in.Facts = []verifier.Fact{{Reached: true}, {Reached: true}, {Reached: true}}
	interpreted, err := interp.Compile(&in)
	if err != nil {
		t.Fatal(err)
	}
	in.Facts = nil
	unverified, err := interp.Compile(&in)
	if err != nil {
		t.Fatal(err)
	}
	array := progArray(t, first, interpreted, helps, unverified)
	s := newState(t)
	ctx := uint64(s.Ctx())
	for _, c := range []struct {
		name  string
		index uint64
		want  uint64
	}{
		{"native code", 0, ctx},
		{"the interpreter", 1, ctx + 3},
		{"a helper in it", 2, 5},
		{"nothing there", 4, 99},
		{"outside the array", 8, 99},
	} {
		budget := s.Budget
		got, err := call(first, s, atTail, ctx, array, c.index)
		if got != c.want || err != nil {
			t.Errorf("%s: %#x instead of %#x, %v", c.name, got, c.want, err)
		}
		if used := budget - s.Budget; used < 0 || used > 100 {
			t.Errorf("%s: the budget loses %d", c.name, used)
		}
		if m := s.JIT.(*machine); s.Engine != exec.Engine(m) || m.first != nil || m.prog != nil {
			t.Errorf("%s: the machine keeps something of the run", c.name)
		}
	}
	if _, err := call(first, s, atTail, ctx, array, 3); err == nil {
		t.Error("a program that the verifier did not see is run")
	}
}

// TestTailCallsWithoutEnd has a program call itself.
func TestTailCallsWithoutEnd(t *testing.T) {
	p := handProgram(t, hand.tail, nil)
	array := progArray(t, p)
	calls := 0
	again := handProgram(t, hand.helps, func(s *exec.State, r1, _, _, _, _ uint64) uint64 {
		calls++
		got, _ := s.Engine.Callback(s, atTail, &[5]uint64{uint64(s.Ctx()), array, 1}, nil)
		s.Engine.Throw(got) // heard where it was not thrown yet
		return 0
	})
	put(t, maps.Get(maps.Handle(array)), 1, again)
	s := newState(t)
	if got, err := call(p, s, atTail, uint64(s.Ctx()), array, 1); got != 99 || err != nil {
		t.Errorf("the run gives %d, %v", got, err)
	}
	if calls != isa.MaxTailCalls {
		t.Errorf("it makes %d tail calls, not %d", calls, isa.MaxTailCalls)
	}
}
