package ir

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestInlineRandom(t *testing.T) {
	for seed := range uint64(1000) {
		same(t, seed, nil, (*Program).Inline)
		if t.Failed() {
			return
		}
	}
}

func TestInline(t *testing.T) {
	small := `
		b0:
			r6 = r1
			store8 [frame-8] = r6
			if r1 == 0 goto b1 else b2
		b1:
			r0 = 1
			return
		b2:
			r2 = frame
			r0 = load8 [r2-8]
			return`
	for _, test := range []struct {
		name, callee, caller, want string
		frame, funcs               int
	}{
		{"twice", small, `
			b0:
				r6 = r1
				r0 = call 1 1
				r1 = r0
				r0 = call 1 1
				r0 = r0 + r6
				return`, `
			b0:
				r6 = r1
				goto b1
			b1:
				r11 = r1
				store8 [frame-24] = r11
				if r1 == 0 goto b2 else b3
			b2:
				r0 = 1
				goto b4
			b3:
				r2 = &[frame-16]
				r0 = load8 [r2-8]
				goto b4
			b4:
				r1 = r0
				goto b5
			b5:
				r11 = r1
				store8 [frame-24] = r11
				if r1 == 0 goto b6 else b7
			b6:
				r0 = 1
				goto b8
			b7:
				r2 = &[frame-16]
				r0 = load8 [r2-8]
				goto b8
			b8:
				r0 = r0 + r6
				return`, 32, 1},
		{"in a loop", `
			b0:
				r0 = r1 + 1
				return`, `
			b0:
				goto b1
			b1:
				r0 = call 1 1
				if r0 == 0 goto b1 else b2
			b2:
				return`, `
			b0:
				goto b1
			b1:
				goto b2
			b2:
				r0 = r1 + 1
				goto b3
			b3:
				if r0 == 0 goto b1 else b4
			b4:
				return`, 16, 1},
		{"not what ends with its program", `
			b0:
				tailcall
				return`, `
			b0:
				r0 = call 1 1
				return`, `
			b0:
				r0 = call 0 1
				return`, 16, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			callee, f := parse(t, test.callee), parse(t, test.caller)
			callee.Frame, callee.Vars, f.Frame, f.Vars = 16, FirstFree, 16, FirstFree
			unused := parse(t, small)
			unused.Frame, unused.Vars = 16, FirstFree
			p := &Program{Funcs: []*Func{unused, callee, f}}
			p.Inline()
			if len(p.Funcs) != test.funcs {
				t.Errorf("%d functions are left, not %d", len(p.Funcs), test.funcs)
			}
			verify(t, f)
			if diff := cmp.Diff(parse(t, test.want).String(), f.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if f.Frame != test.frame {
				t.Errorf("frame memory is %d bytes, not %d", f.Frame, test.frame)
			}
		})
	}
}
