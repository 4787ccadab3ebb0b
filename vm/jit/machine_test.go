//go:build amd64 || arm64

package jit

import (
	"context"
	"errors"
	"testing"

	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/interp"
)

func TestRun(t *testing.T) {
	p := handProgram(t, hand.first, nil)
	s := newState(t)
	if got, err := p.Run(s); got != uint64(s.Ctx()) || err != nil {
		t.Errorf("R1 is %#x, not the context's address %#x: %v", got, s.Ctx(), err)
	}
	if got, err := call(p, s, atFirst, 7); got != 7 || err != nil {
		t.Errorf("a function gives %d, %v", got, err)
	}
}

func TestHelpers(t *testing.T) {
	var calls []uint64
	p := handProgram(t, hand.first, func(_ *exec.State, r1, r2, r3, r4, r5 uint64) uint64 {
		calls = append(calls, r1)
		return r2*1000 + r3*100 + r4*10 + r5
	})
	s := newState(t)
	if got, err := call(p, s, atHelps, 3); got != 2345 || err != nil {
		t.Errorf("the last helper gave %d, %v", got, err)
	}
	if len(calls) != 3 || calls[0] != 3 || calls[2] != 1 {
		t.Errorf("helpers were called with %v", calls)
	}
}

func TestCallback(t *testing.T) {
	var p *Program
	depth := 0
	p = handProgram(t, hand.first, func(s *exec.State, r1, _, _, _, _ uint64) uint64 {
		if depth++; depth < 5 {
			if got, err := s.Engine.Callback(s, atHelps, &[5]uint64{1}, nil); got != uint64(depth) || err != nil {
				t.Errorf("at depth %d a callback gives %d, %v", depth, got, err)
			}
		}
		got, err := s.Engine.Callback(s, atFirst, &[5]uint64{42}, nil)
		if got != 42 || err != nil {
			t.Errorf("a callback gives %d, %v", got, err)
		}
		depth--
		return uint64(depth)
	})
	s := newState(t)
	for range 2 {
		if got, err := call(p, s, atHelps, 100); got != 0 || err != nil {
			t.Errorf("the run gives %d, %v", got, err)
		}
	}
}

func TestBudget(t *testing.T) {
	p := handProgram(t, hand.first, nil)
	s := newState(t)
	for _, n := range []int64{1, slice - 1, slice, slice + 1, 5*slice + 7} {
		s.Budget = n
		if _, err := call(p, s, atSpin, uint64(n)); err != nil {
			t.Errorf("a budget of %d: %v", n, err)
		}
		if s.Budget != 0 {
			t.Errorf("%d is left of a budget of %d", s.Budget, n)
		}
		s.Budget = n
		if _, err := call(p, s, atSpin, uint64(n)+1); !errors.Is(err, interp.ErrBudget) {
			t.Errorf("a budget that lacks 1 of %d: %v", n+1, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Budget, s.Context = 1<<40, ctx
	if _, err := call(p, s, atSpin, 1<<39); !errors.Is(err, context.Canceled) {
		t.Errorf("a run that was cancelled gives %v", err)
	}
}

// TestWithin runs a program for a helper of another one, on the same state.
func TestWithin(t *testing.T) {
	inner := handProgram(t, hand.first, func(_ *exec.State, r1, _, _, _, _ uint64) uint64 { return 10 * r1 })
	outer := handProgram(t, hand.first, func(s *exec.State, r1, _, _, _, _ uint64) uint64 {
		got, err := call(inner, s, atHelps, 3)
		if got != 10 || err != nil {
			t.Errorf("the inner run gives %d, %v", got, err)
		}
		return r1 + got
	})
	s := newState(t)
	if got, err := call(outer, s, atHelps, 3); got != 11 || err != nil {
		t.Errorf("the outer run gives %d, %v", got, err)
	}
}

func TestThrow(t *testing.T) {
	p := handProgram(t, hand.first, func(s *exec.State, r1, _, _, _, _ uint64) uint64 {
		if r1 > 1 {
			_, err := s.Engine.Callback(s, atHelps, &[5]uint64{r1 - 1}, nil)
			if err == nil {
				t.Error("a callback goes on behind an exception")
			}
			return 1
		}
		s.Engine.Throw(77)
		return 2
	})
	s := newState(t)
	if got, err := call(p, s, atHelps, 4); got != 77 || err != nil {
		t.Errorf("a run that throws 77 gives %d, %v", got, err)
	}
	if got, err := call(p, s, atFirst, 5); got != 5 || err != nil {
		t.Errorf("the run after gives %d, %v", got, err)
	}
}

func TestFail(t *testing.T) {
	want := errors.New("no more")
	p := handProgram(t, hand.first, func(s *exec.State, _, _, _, _, _ uint64) uint64 {
		s.Engine.(*machine).Fail(want)
		return 0
	})
	if _, err := call(p, newState(t), atHelps, 4); !errors.Is(err, want) {
		t.Errorf("the run gives %v", err)
	}
}

func TestPanic(t *testing.T) {
	p := handProgram(t, hand.first, func(s *exec.State, r1, _, _, _, _ uint64) uint64 {
		if r1 == 1 {
			panic("helper")
		}
		got, _ := s.Engine.Callback(s, atHelps, &[5]uint64{r1 - 1}, nil)
		return got
	})
	s := newState(t)
	for range 3 {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("a helper's panic is lost")
				}
			}()
			_, _ = call(p, s, atHelps, 3)
		}()
		m := s.JIT.(*machine)
		if m.prog != nil || m.top != m.stack+stackTop {
			t.Error("the machine takes the run for one that goes on")
		}
		if got, err := call(p, s, atFirst, 5); got != 5 || err != nil {
			t.Errorf("the run after gives %d, %v", got, err)
		}
	}
}

func TestStackEnds(t *testing.T) {
	p := handProgram(t, hand.first, func(s *exec.State, r1, _, _, _, _ uint64) uint64 {
		got, _ := s.Engine.Callback(s, atHelps, &[5]uint64{1}, nil)
		return got
	})
	s := newState(t)
	for i := range p.funcs {
		p.funcs[i].room += 40 << 10
	}
	_, err := call(p, s, atHelps, 1)
	var fault *interp.Fault
	if !errors.As(err, &fault) {
		t.Errorf("callbacks within callbacks without end: %v", err)
	}
}

func TestAllocations(t *testing.T) {
	p := handProgram(t, hand.first, func(_ *exec.State, r1, _, _, _, _ uint64) uint64 { return r1 })
	s := newState(t)
	if n := testing.AllocsPerRun(100, func() {
		if _, err := p.Run(s); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("a run allocates %v times", n)
	}
}

func BenchmarkRun(b *testing.B) {
	p := handProgram(b, hand.first, nil)
	s := newState(b)
	for b.Loop() {
		if _, err := p.Run(s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRepeat(b *testing.B) {
	p := handProgram(b, hand.first, nil)
	s := newState(b)
	b.ResetTimer()
	if _, err := p.Repeat(s, uint32(b.N), 1<<20); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkHelper(b *testing.B) {
	p := handProgram(b, hand.first, func(_ *exec.State, r1, _, _, _, _ uint64) uint64 { return r1 })
	s := newState(b)
	b.ResetTimer()
	if _, err := call(p, s, atHelps, uint64(b.N)); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkCallback(b *testing.B) {
	p := handProgram(b, hand.first, func(s *exec.State, _, _, _, _, _ uint64) uint64 {
		args := [5]uint64{1}
		for range b.N {
			_, _ = s.Engine.Callback(s, atFirst, &args, nil)
		}
		return 0
	})
	if _, err := call(p, newState(b), atHelps, 1); err != nil {
		b.Fatal(err)
	}
}
