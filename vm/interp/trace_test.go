package interp

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/vm/exec"
)

func TestTrace(t *testing.T) {
	var steps []string
	p := compile(t, &Input{
		Insns: assemble(t, `
			mov %r6, 3
			stdw [%r10-8], 5
			call local f
			add %r0, %r6
			exit
			f:
			mov %r6, %r10
			ldxdw %r0, [%r6-520]
			exit`),
		Trace: func(s Step) {
			r6, _ := s.Reg(0, 6)
			slot, _ := s.Slot(0, -8)
			steps = append(steps, fmt.Sprintf("%d: depth %d, r6 %d, slot %d", s.Insn, s.Depth, r6, slot))
		},
	})
	s := newState(t)
	if _, err := p.Run(s, Fast); err != nil || steps != nil {
		t.Errorf("fast: %v, %d steps", err, len(steps))
	}
	if _, err := p.Run(s, Checked); err == nil {
		t.Error("a function may reach the stack of its caller")
	}
	want := []string{
		"0: depth 0, r6 0, slot 0", "1: depth 0, r6 3, slot 0", "2: depth 0, r6 3, slot 5",
		"5: depth 1, r6 3, slot 5", "6: depth 1, r6 3, slot 5",
	}
	if diff := cmp.Diff(want, steps); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
	if r, from := (Step{State: s, m: machineOf(s), Depth: 1}).Reg(1, 6); from != exec.Make(exec.RegionStack+1, 0) {
		t.Errorf("R6 is %#x from %#x, not the frame pointer", r, from)
	}
}
