package ir

import (
	"testing"

	"github.com/skep-ebpf/skep/vm/helper"
)

// testCalls are the helpers of random programs.
var testCalls = &Calls{Helpers: []*helper.Helper{
	{Args: []helper.Arg{helper.ArgAnything, helper.ArgAnything, helper.ArgAnything, helper.ArgAnything, helper.ArgAnything}},
	{Args: []helper.Arg{helper.ArgPtrToLong}},
	{Args: []helper.Arg{helper.ArgPtrToMem, helper.ArgConstSize}},
}}

func TestPromoteRandom(t *testing.T) {
	promoted := 0
	for seed := range uint64(2000) {
		same(t, seed, nil, func(p *Program) {
			p.Calls = testCalls
			for _, f := range p.Funcs {
				f.Fold()
				f.Sweep()
				promoted -= int(f.Vars)
				p.Promote(f)
				promoted += int(f.Vars)
				f.Liveness()
			}
		})
		if t.Failed() {
			return
		}
	}
	if promoted < 1000 {
		t.Errorf("only %d slots became variables", promoted)
	}
}

func TestPromote(t *testing.T) {
	for _, test := range []struct {
		rewriting
		frame int
	}{
		{rewriting{"a spilled register", `
			store8 [frame-8] = r1
			r0 = helper 0 0
			r1 = load8 [frame-8]
			r0 = r0 + r1`, `
			r11 = r1
			r0 = helper 0 0
			r1 = r11
			r0 = r0 + r1`}, 0},
		{rewriting{"narrow ones", `
			store4 [frame-8] = r1
			store2 [frame-4] = 65537
			r1 = load4 [frame-8]
			r2 = loadsext2 [frame-4]
			r0 = r1 + r2`, `
			r11 = zext4 r1
			r12 = 1
			r1 = r11
			r2 = sext2 r12
			r0 = r1 + r2`}, 0},
		{rewriting{"zeroes in several", `
			store8 [frame-8] = 0
			store2 [frame-6] = 7
			r0 = load4 [frame-4]
			r1 = load2 [frame-6]
			r0 = r0 + r1`, `
			r11 = 0
			r12 = 0
			r11 = 7
			r0 = r12
			r1 = r11
			r0 = r0 + r1`}, 0},
		{rewriting{"of which some stay", `
			store8 [frame-8] = 0
			store8 [frame-16] = 0
			r1 = &[frame-4]
			r2 = 4
			r0 = helper 2 2
			r1 = load4 [frame-8]
			r0 = r0 + r1`, `
			r11 = 0
			store8 [frame-8] = 0
			nop
			r1 = &[frame-4]
			r2 = 4
			r0 = helper 2 2
			r1 = r11
			r0 = r0 + r1`}, 8},
		{rewriting{"what nobody reads", `
			store8 [frame-8] = r1
			store4 [frame-8] = 3
			r0 = 0`, `
			nop
			nop
			r0 = 0`}, 0},
		{rewriting{"but not what is accessed by parts", `
			store8 [frame-8] = 1
			store4 [frame-16] = r1
			r0 = load4 [frame-4]
			r1 = load4 [frame-16]
			r0 = r0 + r1`, `
			store8 [frame-8] = 1
			r11 = zext4 r1
			r0 = load4 [frame-4]
			r1 = r11
			r0 = r0 + r1`}, 8},
		{rewriting{"nor what zeroes are stored in a part of", `
			store8 [frame-8] = r1
			store4 [frame-8] = 0
			r0 = load8 [frame-8]`, `
			store8 [frame-8] = r1
			store4 [frame-8] = 0
			r0 = load8 [frame-8]`}, 8},
		{rewriting{"nor what a helper is given", `
			store8 [frame-16] = r1
			store8 [frame-8] = 1
			store8 [frame-24] = 2
			r1 = &[frame-16]
			r0 = helper 1 1
			r1 = load8 [frame-8]
			r0 = r0 + r1
			r1 = load8 [frame-24]
			r0 = r0 + r1`, `
			store8 [frame-16] = r1
			r12 = 1
			r11 = 2
			r1 = &[frame-16]
			r0 = helper 1 1
			r1 = r12
			r0 = r0 + r1
			r1 = r11
			r0 = r0 + r1`}, 16},
		{rewriting{"with its length", `
			store8 [frame-16] = r1
			store8 [frame-8] = 1
			r1 = &[frame-16]
			r2 = 9
			r0 = helper 2 2
			r1 = load8 [frame-8]
			r0 = r0 + r1`, `
			store8 [frame-16] = r1
			store8 [frame-8] = 1
			r1 = &[frame-16]
			r2 = 9
			r0 = helper 2 2
			r1 = load8 [frame-8]
			r0 = r0 + r1`}, 16},
		{rewriting{"and all above where nobody knows how much", `
			store8 [frame-24] = r1
			store8 [frame-8] = 1
			r1 = &[frame-16]
			r0 = helper 0 1
			r1 = load8 [frame-8]
			r0 = r0 + r1
			r1 = load8 [frame-24]
			r0 = r0 + r1`, `
			r11 = r1
			store8 [frame-8] = 1
			r1 = &[frame-16]
			r0 = helper 0 1
			r1 = load8 [frame-8]
			r0 = r0 + r1
			r1 = r11
			r0 = r0 + r1`}, 16},
		{rewriting{"nor anything where an address is kept", `
			store8 [frame-16] = r1
			r2 = &[frame-8]
			store8 [r1+0] = r2
			r0 = load8 [frame-16]`, `
			store8 [frame-16] = r1
			r2 = &[frame-8]
			store8 [r1+0] = r2
			r0 = load8 [frame-16]`}, 512},
		{rewriting{"nor where there is an index", `
			store8 [frame-16] = r1
			r0 = load8 [frame+r2-16]`, `
			store8 [frame-16] = r1
			r0 = load8 [frame+r2-16]`}, 512},
	} {
		var frame int
		test.run(t, func(f *Func) {
			f.Frame, f.Vars = 512, FirstFree
			f.Liveness()
			(&Program{Funcs: []*Func{f}, Calls: testCalls}).Promote(f)
			frame = f.Frame
		})
		if frame != test.frame {
			t.Errorf("%s: %d bytes of frame memory stay, not %d", test.name, frame, test.frame)
		}
	}
}
