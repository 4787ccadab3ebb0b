package amd64

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/skep-ebpf/skep/internal/testenv"
)

// TestFinish puts many jumps and labels into code, and looks where the jumps lead and
// whether those are short that can be.
func TestFinish(t *testing.T) {
	r := rand.New(rand.NewPCG(testenv.Seed(t), 1))
	for range 200 {
		e := &Emitter{}
		labels := 1 + r.Int32N(40)
		e.begin(int(labels))
		placed, aligned := 0, r.IntN(2) == 0
		for placed < int(labels) {
			e.room(roomy)
			for range r.IntN(60) {
				e.put(0x90, 1)
			}
			switch to := r.Int32N(labels); r.IntN(6) {
			case 0, 1:
				e.place(int32(placed))
				placed++
			case 2:
				e.point(pointJump, to, 0)
			case 3:
				e.point(pointCond, to, uint8(r.IntN(16)))
			case 4:
				e.point(pointAddress, to, 0)
			case 5:
				if aligned {
					e.point(pointAlign, 0, 0)
				}
			}
		}
		e.finish()
		for _, p := range e.points {
			code := e.Bytes[p.at+p.off:]
			var d, size int32
			switch {
			case p.kind == pointLabel:
				if e.labels[p.target] != p.at+p.off {
					t.Errorf("label %d lies at %d, not %d", p.target, e.labels[p.target], p.at+p.off)
				}
				continue
			case p.kind == pointAlign:
				if end := p.at + p.off + int32(p.size); end%alignment != 0 || p.size >= alignment {
					t.Errorf("%d bytes align to %d", p.size, end)
				}
				continue
			case p.kind == pointJump && code[0] == 0xeb, p.kind == pointCond && code[0] == 0x70|p.cc:
				d, size = int32(int8(code[1])), 2
			case p.kind == pointJump && code[0] == 0xe9:
				d, size = int32(binary.LittleEndian.Uint32(code[1:])), 5
			case p.kind == pointCond && code[0] == 0x0f && code[1] == 0x80|p.cc:
				d, size = int32(binary.LittleEndian.Uint32(code[2:])), 6
			case p.kind == pointAddress && code[0] == 0x4c && code[1] == 0x8d && code[2] == 0x0d:
				d, size = int32(binary.LittleEndian.Uint32(code[3:])), 7
			default:
				t.Fatalf("%+v becomes % x", p, code[:8])
			}
			if got, want := p.at+p.off+size+d, e.labels[p.target]; got != want {
				t.Fatalf("%+v leads to %d, not %d: % x", p, got, want, code[:8])
			}
			if d < 0 {
				d += size - 2 // from behind it, if it were short
			}
			if size > 2 && p.kind != pointAddress && d == int32(int8(d)) && !aligned {
				t.Errorf("%+v is long and leads %d bytes on", p, d)
			}
		}
	}
}
