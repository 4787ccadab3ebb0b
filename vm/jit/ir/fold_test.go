package ir

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// rewriting is what passes should make of a block that goes on with "return"; or
// of several blocks, if the text has them.
type rewriting struct{ name, text, want string }

func (r rewriting) run(t *testing.T, passes ...func(*Func)) {
	t.Run(r.name, func(t *testing.T) {
		whole := func(text string) string {
			if !strings.Contains(text, ":") {
				text = "b0:\n" + text + "\nreturn"
			}
			return parse(t, text).String()
		}
		f := parse(t, whole(r.text))
		for _, pass := range passes {
			pass(f)
			verify(t, f)
		}
		if diff := cmp.Diff(whole(r.want), f.String()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestFold(t *testing.T) {
	for _, r := range []rewriting{
		{"numbers", `
			r1 = 7
			r1 = r1 * 3
			w0 = w1 - 22`, `
			r0 = 4294967295`},
		{"frame addresses", `
			r2 = frame
			r2 = r2 + -16
			r3 = load8 [r2+8]
			store4 [r2+4] = r3
			r0 = add8 [r2+0] r3
			r2 = r2 + 4
			store8 [r1+0] = r2`, `
			r3 = load8 [frame-8]
			store4 [frame-12] = r3
			r0 = add8 [frame-16] r3
			r2 = &[frame-12]
			store8 [r1+0] = r2`},
		{"frame address with an index", `
			r2 = frame
			r2 = r2 + -16
			r2 = r2 + r1
			r0 = load1 [r2+0]`, `
			r2 = &[frame+r1-16]
			r0 = load1 [r2+0]`},
		{"offsets are collected", `
			r2 = r1
			r2 = r2 + 8
			r0 = load4 [r2+4]
			r2 = r2 + 4
			r3 = load4 [r2-12]
			r0 = r0 + r3`, `
			r0 = load4 [r1+12]
			r3 = load4 [r1+0]
			r0 = r0 + r3`},
		{"but not where the base is changed", `
			r2 = r1
			r2 = r2 + 8
			r1 = r1 * 8
			r0 = load4 [r2+4]
			r0 = r0 + r1`, `
			r2 = r1 + 8
			r1 = r1 << 3
			r0 = load4 [r2+4]
			r0 = r0 + r1`},
		{"unless there is a copy", `
			r2 = r1
			r3 = r1
			r3 = r3 + 16
			r1 = r1 + 8
			r0 = load4 [r1+4]
			r4 = load4 [r3+0]
			r0 = r0 + r4`, `
			r2 = r1
			r0 = load4 [r2+12]
			r4 = load4 [r2+16]
			r0 = r0 + r4`},
		{"copies", `
			r6 = r1
			r0 = r6 + r2
			r1 = r6`, `
			r0 = r1 + r2`},
		{"a copy of the lower half", `
			w6 = w1
			w0 = w6 ^ w2
			store4 [r3+0] = r6`, `
			w0 = w1 ^ w2
			store4 [r3+0] = r1`},
		{"loads clear the upper half", `
			r1 = load4 [r1+0]
			w0 = w1
			r0 = r0 + r1`, `
			r1 = load4 [r1+0]
			r0 = r1 + r1`},
		{"masks that change nothing", `
			r1 = load1 [r1+0]
			r0 = r1 & 255
			r0 = r0 & 65535
			w0 = w0 & 1023`, `
			r1 = load1 [r1+0]
			r0 = r1`},
		{"masks of bytes", `
			r1 = r1 & 255
			w2 = w2 & 65535
			r0 = r1 + r2`, `
			r1 = zext1 r1
			r2 = zext2 r2
			w0 = w1 + w2`},
		{"powers of two", `
			r1 = r1 * 8
			w2 = w2 / 16
			r3 = r3 % 32
			r1 = r1 + r2
			r0 = r1 + r3`, `
			r1 = r1 << 3
			w2 = w2 >> 4
			w3 = w3 & 31
			r1 = r1 + r2
			r0 = r1 + r3`},
		{"division by 0", `
			r1 = r1 / 0
			r0 = r2 % 0
			r0 = r0 + r1`, `
			r0 = r2`},
		{"numbers become immediates", `
			r3 = 5
			store4 [r1+0] = r3
			r4 = -1
			store8 [r1+8] = r4
			r0 = r3 + r2`, `
			store4 [r1+0] = 5
			store8 [r1+8] = -1
			r0 = r2 + 5`},
		{"but wide ones stay in registers", `
			r3 = 2654435761
			r0 = r1 * r3
			store8 [r2+0] = r3`, `
			r3 = 2654435761
			r0 = r1 * r3
			store8 [r2+0] = r3`},
		{"dead branches", `
			b0:
				r1 = load1 [r1+0]
				if r1 > 255 goto b1 else b2
			b1:
				r0 = 1
				return
			b2:
				r0 = 2
				if r0 != 2 goto b1 else b3
			b3:
				return`, `
			b0:
				r0 = 2
				return`},
		{"what a branch says", `
			b0:
				if r1 == 5 goto b1 else b2
			b1:
				r0 = r1 + 1
				return
			b2:
				if r1 < 256 goto b3 else b4
			b3:
				r0 = r1 & 255
				return
			b4:
				r0 = 0
				return`, `
			b0:
				if r1 == 5 goto b1 else b2
			b1:
				r0 = 6
				return
			b2:
				if r1 < 256 goto b3 else b4
			b3:
				r0 = r1
				return
			b4:
				r0 = 0
				return`},
		{"both ways agree", `
			b0:
				r6 = 3
				r7 = frame
				if r1 == 5 goto b1 else b2
			b1:
				r0 = 1
				goto b3
			b2:
				r0 = 2
				goto b3
			b3:
				r0 = r0 + r6
				store8 [r7-8] = r0
				return`, `
			b0:
				if r1 == 5 goto b1 else b2
			b1:
				r0 = 1
				goto b3
			b2:
				r0 = 2
				goto b3
			b3:
				r0 = r0 + 3
				store8 [frame-8] = r0
				return`},
		{"what a loop does not change", `
			b0:
				r6 = 4
				r7 = 0
				goto b1
			b1:
				fuel 3
				r7 = r7 + r6
				if r7 != r1 goto b1 else b2
			b2:
				r0 = r6
				return`, `
			b0:
				r7 = 0
				goto b1
			b1:
				fuel 3
				r7 = r7 + 4
				if r7 != r1 goto b1 else b2
			b2:
				r0 = 4
				return`},
		{"a call changes R1 to R5", `
			r6 = r1
			r0 = call 0 1
			r1 = r6
			r0 = r0 + r1`, `
			r6 = r1
			r0 = call 0 1
			r0 = r0 + r6`},
		{"comparison of unsigned bytes", `
			b0:
				r1 = load1 [r1+0]
				if r1 s> 3 goto b1 else b2
			b1:
				r0 = 1
				return
			b2:
				r0 = 0
				return`, `
			b0:
				r1 = load1 [r1+0]
				if w1 > 3 goto b1 else b2
			b1:
				r0 = 1
				return
			b2:
				r0 = 0
				return`},
	} {
		r.run(t, (*Func).Fold, (*Func).Sweep)
	}
}
