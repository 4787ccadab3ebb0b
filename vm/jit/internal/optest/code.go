package optest

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// typical is a program of about as many instructions as asked for, of the kinds that
// programs mostly have.
func (b *Backend) typical(n int) *ir.Program {
	f := b.builder()
	v := ir.Var(7) // to 9, with 6 for the context
	ins := func(op ir.Op, size uint8, dst, a, b ir.Var, imm int64) ir.Ins {
		return ir.Ins{Op: op, Size: size, Width: size, Dst: dst, A: a, B: b, C: ir.None, Imm: imm}
	}
	for at := int32(0); at < int32(n); at += 10 {
		next := at/10 + 1
		load, store := ins(ir.Load, 4, 2, 1, ir.None, 0), ins(ir.Store, 8, ir.None, ir.Frame, ir.None, 0)
		load.Off, store.Off, store.C = 16, -16, v+1
		swap := ins(ir.Bswap, 4, 3, 2, ir.None, 0)
		swap.Width = 2
		f.ins = []ir.Ins{
			ins(ir.Mov, 8, 1, 6, ir.None, 0),
			ins(ir.Add, 8, 1, 1, ir.None, int64(at+1)),
			load,
			ins(ir.And, 4, 2, 2, ir.None, 0xfff0),
			ins(ir.Xor, 8, v, v, 2, 0),
			ins(ir.Shl, 8, v+1, v, ir.None, 5),
			store,
			ins(ir.Mul, 8, v+2, v+2, v+1, 0),
			swap,
		}
		end := ins(ir.Branch, 8, ir.None, 3, ir.None, 1500)
		end.Cond = ir.Ugt
		f.end(end, next+next%3, next)
		last := f.Blocks[len(f.Blocks)-1].Ins
		for k := range last {
			last[k].At = at + int32(k)
		}
	}
	f.Frame = 64
	for range 4 {
		f.end(ir.Ins{Op: ir.Return, At: int32(n)})
	}
	return &ir.Program{Funcs: []*ir.Func{&f.Func}}
}

// SameCode makes the same code of the same program twice. Where a way to make code pads
// it, there is more of it.
func (b *Backend) SameCode(t *testing.T, plain, padded string) {
	p := b.typical(1000)
	for name, emit := range b.Emit {
		if !bytes.Equal(bytesOf(t, emit, p), bytesOf(t, emit, p)) {
			t.Errorf("%s: gives different code each time", name)
		}
	}
	if few, many := bytesOf(t, b.Emit[plain], p), bytesOf(t, b.Emit[padded], p); len(many) <= len(few) {
		t.Errorf("%d bytes are padded to %d", len(few), len(many))
	}
}

func bytesOf(t *testing.T, emit func(*ir.Program) (*ir.Code, error), p *ir.Program) []byte {
	t.Helper()
	code, err := emit(p)
	if err != nil {
		t.Fatal(err)
	}
	return code.Bytes
}

// Lines finds for each piece of code which instruction it comes from.
func (b *Backend) Lines(t *testing.T) {
	const n = 400
	for name, emit := range b.Emit {
		code, err := emit(b.typical(n))
		if err != nil {
			t.Fatal(err)
		}
		seen := map[int32]bool{}
		for k, l := range code.Lines {
			if k > 0 && l.Off <= code.Lines[k-1].Off || l.Off >= uint32(len(code.Bytes)) || l.Func != 0 {
				t.Errorf("%s: line %d: %+v behind %+v", name, k, l, code.Lines[max(k, 1)-1])
			}
			seen[l.At] = true
		}
		if len(seen) != n+1 {
			t.Errorf("%s: %d instructions have lines, not %d", name, len(seen), n+1)
		}
	}
}

// Refuses wants an error for what cannot be compiled.
func (b *Backend) Refuses(t *testing.T) {
	none := ir.None
	for want, i := range map[string]ir.Ins{
		"operation 250 is not known":       {Op: 250},
		"variable 40 has no register":      {Op: ir.Mov, Size: 8, Dst: 0, A: 40},
		"variable 255 has no register":     {Op: ir.Mov, Size: 8, Dst: none, A: 0},
		"condition 12 is not known":        {Op: ir.Branch, Cond: 12, Size: 8, B: none},
		"accesses 3 bytes at once":         {Op: ir.Load, Width: 3, B: none},
		"accesses 2 bytes at once and ato": {Op: ir.Xchg, Width: 2, B: none},
		"calls function 0, which does not": {Op: ir.Call},
	} {
		f := b.builder()
		f.Name = "main"
		f.add(i)
		f.end(ir.Ins{Op: ir.Return}, 0, 0)
		for name, emit := range b.Emit {
			_, err := emit(&ir.Program{Funcs: []*ir.Func{&f.Func}})
			if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "compile function main: instruction 0: ") {
				t.Errorf("%s: %+v gives %v, not %q", name, i, err, want)
			}
		}
	}
}

// Benchmark measures one way to make code.
func (b *Backend) Benchmark(m *testing.B, name string) {
	for _, n := range []int{400, 100_000} {
		m.Run(fmt.Sprint(n), func(m *testing.B) {
			p := b.typical(n)
			m.ReportAllocs()
			for m.Loop() {
				if _, err := b.Emit[name](p); err != nil {
					m.Fatal(err)
				}
			}
			m.ReportMetric(float64(m.Elapsed().Nanoseconds())/float64(m.N)/float64(n), "ns/ins")
		})
	}
}
