package amd64

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// typical is a program of about as many instructions as asked for, of the kinds that
// programs mostly have.
func typical(n int) *ir.Program {
	f := &ir.Func{Name: "typical", Frame: 64, Vars: 13}
	for v, r := range map[ir.Var]ir.Reg{6: rbx, 7: r13, 8: r14, 9: r12, 11: rbp, 12: r9} {
		f.Regs[v] = r
	}
	none := ir.None
	for at := int32(0); at < int32(n); at += 10 {
		next := at/10 + 1
		f.Blocks = append(f.Blocks, ir.Block{Succ: [2]int32{next + next%3, next}, Ins: []ir.Ins{
			{Op: ir.Mov, Size: 8, Dst: 1, A: 6, B: none, C: none, At: at},
			{Op: ir.Add, Size: 8, Dst: 1, A: 1, B: none, C: none, Imm: int64(at + 1), At: at + 1},
			{Op: ir.Load, Width: 4, Dst: 2, A: 1, B: none, C: none, Off: 16, At: at + 2},
			{Op: ir.And, Size: 4, Dst: 2, A: 2, B: none, C: none, Imm: 0xfff0, At: at + 3},
			{Op: ir.Xor, Size: 8, Dst: 7, A: 7, B: 2, C: none, At: at + 4},
			{Op: ir.Shl, Size: 8, Dst: 8, A: 7, B: none, C: none, Imm: 5, At: at + 5},
			{Op: ir.Store, Width: 8, Dst: none, A: ir.Frame, B: none, C: 8, Off: -16, At: at + 6},
			{Op: ir.Mul, Size: 8, Dst: 9, A: 9, B: 8, C: none, At: at + 7},
			{Op: ir.Bswap, Size: 4, Width: 2, Dst: 3, A: 2, B: none, C: none, At: at + 8},
			{Op: ir.Branch, Size: 8, Cond: ir.Ugt, Dst: none, A: 3, B: none, C: none, Imm: 1500, At: at + 9},
		}})
	}
	end := ir.Block{Succ: [2]int32{-1, -1}, Ins: []ir.Ins{{Op: ir.Return, Dst: none, A: none, B: none, C: none, At: int32(n)}}}
	for range 4 {
		f.Blocks = append(f.Blocks, end)
	}
	return &ir.Program{Funcs: []*ir.Func{f}}
}

func BenchmarkEmit(b *testing.B) {
	for _, n := range []int{400, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := typical(n)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Emit(p, Options{BMI2: true}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/ins")
		})
	}
}

// TestSameCode makes the same code of the same program, unless it is padded.
func TestSameCode(t *testing.T) {
	p := typical(1000)
	emit := func(seed uint64) []byte {
		code, err := Emit(p, Options{Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		return code.Bytes
	}
	for _, seed := range []uint64{0, 1} {
		if !bytes.Equal(emit(seed), emit(seed)) {
			t.Errorf("with seed %d gives different code each time", seed)
		}
	}
	if plain, padded := emit(0), emit(1); len(padded) <= len(plain) || bytes.Equal(emit(2), padded) {
		t.Errorf("%d bytes are padded to %d, and alike for all seeds", len(plain), len(padded))
	}
}

// TestLines says for each piece of code which instruction it comes from.
func TestLines(t *testing.T) {
	code, err := Emit(typical(400), Options{})
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int32]bool{}
	for k, l := range code.Lines {
		if k > 0 && l.Off <= code.Lines[k-1].Off || l.Off >= uint32(len(code.Bytes)) || l.Func != 0 {
			t.Errorf("line %d: %+v behind %+v", k, l, code.Lines[max(k, 1)-1])
		}
		seen[l.At] = true
	}
	if len(seen) != 401 {
		t.Errorf("%d instructions have lines, not 401", len(seen))
	}
}

// TestRefuses is given what cannot be compiled.
func TestRefuses(t *testing.T) {
	none := ir.None
	for want, i := range map[string]ir.Ins{
		"operation 250 is not known":       {Op: 250},
		"variable 20 has no register":      {Op: ir.Mov, Size: 8, Dst: 0, A: 20},
		"variable 255 has no register":     {Op: ir.Mov, Size: 8, Dst: none, A: 0},
		"condition 12 is not known":        {Op: ir.Branch, Cond: 12, Size: 8, B: none},
		"accesses 3 bytes at once":         {Op: ir.Load, Width: 3, B: none},
		"accesses 2 bytes at once and ato": {Op: ir.Xchg, Width: 2, B: none},
		"calls function 0, which does not": {Op: ir.Call},
		"from the budget at once":          {Op: ir.Fuel, Imm: 1 << 40},
	} {
		f := &ir.Func{Name: "main", Blocks: []ir.Block{{Ins: []ir.Ins{i, {Op: ir.Return}}, Succ: [2]int32{-1, -1}}}}
		for v := range f.Regs {
			f.Regs[v] = ir.NoReg
		}
		_, err := Emit(&ir.Program{Funcs: []*ir.Func{f}}, Options{})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "compile function main: instruction 0: ") {
			t.Errorf("%+v gives %v, not %q", i, err, want)
		}
	}
}
