package vm_test

import (
	"context"
	"errors"
	"flag"
	"io"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm"
)

var soakFor = flag.Duration("soak", 2*time.Second, "how long TestSoak runs programs")

// TestSoak runs programs on all CPUs for a while, of which each goroutine has some to
// itself and shares some with the others, while the collector and the profiler
// interrupt them, runs are cancelled, and programs come and go.
func TestSoak(t *testing.T) {
	if err := pprof.StartCPUProfile(io.Discard); err == nil { // or the whole test is profiled
		defer pprof.StopCPUProfile()
	}
	seed := testenv.Seed(t)
	packets := examplePackets(t)
	specs := soakSpecs(t)
	before := mem.Codes()

	ctx, cancel := context.WithTimeout(t.Context(), *soakFor)
	defer cancel()
	var shared []*vm.Collection
	for _, spec := range specs {
		shared = append(shared, soakLoad(t, spec, false))
	}
	var all sync.WaitGroup
	var runs, ended atomic.Int64
	for worker := range 2 * runtime.NumCPU() {
		rng := rand.New(rand.NewPCG(seed, uint64(worker)))
		all.Go(func() {
			for ctx.Err() == nil && !t.Failed() {
				own := soakLoad(t, specs[rng.IntN(len(specs))], rng.IntN(2) == 0)
				for range 200 {
					coll := shared[rng.IntN(len(shared))]
					if rng.IntN(2) == 0 {
						coll = own
					}
					soakRun(t, ctx, rng, coll, packets, &runs, &ended)
				}
				own.Close()
			}
		})
	}
	for ctx.Err() == nil {
		runtime.GC()
	}
	all.Wait()
	for _, coll := range shared {
		coll.Close()
	}
	t.Logf("%d runs, of which %d were cancelled", runs.Load(), ended.Load())
	clear(shared)
	soakLoad(t, specs[0], false).Close() // lets go of what was kept for runs
	for range 100 {
		runtime.GC()
		if mem.Codes() <= before {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%d pieces of code are left of programs that are closed", mem.Codes()-before)
}

// soakRun runs one of a collection's programs on a packet, perhaps not to its end.
func soakRun(t *testing.T, ctx context.Context, rng *rand.Rand, coll *vm.Collection, packets [][]byte, runs, ended *atomic.Int64) {
	names := make([]string, 0, len(coll.Programs))
	for name := range coll.Programs {
		names = append(names, name)
	}
	slices.Sort(names)
	p := coll.Programs[names[rng.IntN(len(names))]]
	endless := strings.HasPrefix(p.Name(), "endless")
	if endless || rng.IntN(16) == 0 {
		if endless && rng.IntN(20) != 0 {
			return
		}
		limited, cancel := context.WithTimeout(ctx, time.Duration(rng.IntN(3000))*time.Microsecond)
		defer cancel()
		ctx = limited
	}
	in, out := vm.Input{Data: packets[rng.IntN(len(packets))], Repeat: rng.Uint32N(20)}, vm.Output{}
	err := p.Exec(ctx, &in, &out)
	runs.Add(1)
	if errors.Is(err, context.DeadlineExceeded) {
		ended.Add(1)
		return
	}
	if err != nil {
		t.Errorf("%s: %v", p, err)
	}
}

// soakSpecs are the packet programs of the examples, and programs of which each shows
// another way in which a run does not end by itself.
func soakSpecs(t *testing.T) []*ebpf.CollectionSpec {
	var specs []*ebpf.CollectionSpec
	for _, name := range []string{"firewall", "flows", "protocount", "redirect", "tailparse"} {
		p, err := program.Open(filepath.Join(testenv.Root(t), "examples", name, name+".bpf.o"))
		if err != nil {
			t.Fatal(err)
		}
		specs = append(specs, p.Spec)
	}
	return append(specs, &ebpf.CollectionSpec{Programs: map[string]*ebpf.ProgramSpec{
		"endless_callbacks": endless(asm.Instructions{ // a helper's call in each
			asm.FnKtimeGetNs.Call(), asm.Mov.Imm(asm.R0, 0), asm.Return(),
		}),
		"endless_loops": endless(asm.Instructions{ // may_goto, 8 million times in each
			asm.Instruction{OpCode: asm.OpCode(asm.JumpClass).SetJumpOp(asm.JumpOp(0xe0)), Offset: 2},
			asm.Add.Imm(asm.R1, 1),
			asm.Instruction{OpCode: asm.Ja.Op(asm.ImmSource), Offset: -3},
			asm.Mov.Imm(asm.R0, 0), asm.Return(),
		}),
	}})
}

// endless is a program that calls a function 2^23 times, and in each of these another
// one as often.
func endless(each asm.Instructions) *ebpf.ProgramSpec {
	loop := func(fn string) asm.Instructions {
		return asm.Instructions{
			asm.Mov.Imm(asm.R1, 1<<23),
			asm.Instruction{OpCode: asm.LoadImmOp(asm.DWord), Dst: asm.R2, Src: asm.PseudoFunc, Constant: -1}.WithReference(fn),
			asm.Mov.Imm(asm.R3, 0), asm.Mov.Imm(asm.R4, 0),
			asm.FnLoop.Call(),
			asm.Mov.Imm(asm.R0, 0), asm.Return(),
		}
	}
	integer := &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	insns := asm.Instructions{}
	for _, f := range []struct {
		name string
		body asm.Instructions
	}{{"endless", loop("outer")}, {"outer", loop("inner")}, {"inner", each}} {
		f.body[0] = btf.WithFuncMetadata(f.body[0], &btf.Func{Name: f.name, Type: &btf.FuncProto{Return: integer}}).WithSymbol(f.name)
		insns = append(insns, f.body...)
	}
	return &ebpf.ProgramSpec{Name: "endless", Type: ebpf.XDP, License: "GPL", Instructions: insns}
}

func soakLoad(t *testing.T, spec *ebpf.CollectionSpec, harden bool) *vm.Collection {
	coll, err := vm.NewCollectionWithOptions(spec.Copy(), vm.CollectionOptions{Programs: vm.ProgramOptions{Harden: harden}})
	if err != nil {
		t.Error(err)
		return &vm.Collection{}
	}
	return coll
}
