package amd64

import (
	"strings"
	"testing"

	"github.com/skep-ebpf/skep/vm/jit/ir"
)

func TestSameCode(t *testing.T) { backend().SameCode(t, "bmi2", "padded") }
func TestLines(t *testing.T)    { backend().Lines(t) }
func TestRefuses(t *testing.T)  { backend().Refuses(t) }

func BenchmarkEmit(b *testing.B) { backend().Benchmark(b, "bmi2") }

// TestRefusesFuel takes more from the budget than an instruction has room for.
func TestRefusesFuel(t *testing.T) {
	fuel := ir.Ins{Op: ir.Fuel, Imm: 1 << 40}
	f := &ir.Func{Name: "main", Blocks: []ir.Block{{Ins: []ir.Ins{fuel, {Op: ir.Return}}, Succ: [2]int32{-1, -1}}}}
	_, err := new(Emitter).Emit(&ir.Program{Funcs: []*ir.Func{f}}, Options{})
	if want := "takes 1099511627776 from the budget at once"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, not %q", err, want)
	}
}
