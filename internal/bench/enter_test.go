package bench

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/vm"
)

// nothing is a program that does nothing.
var nothing = &ebpf.CollectionSpec{Programs: map[string]*ebpf.ProgramSpec{
	"nothing": {Name: "nothing", Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{
		asm.Mov.Imm(asm.R0, 2), asm.Return(),
	}},
}}

// BenchmarkEnter is what it takes to enter and leave a program: over and over on
// one context, and from [vm.Program.Exec] with a packet. Where all CPUs do so at
// once, a run takes as long as alone if nothing is shared.
func BenchmarkEnter(b *testing.B) {
	for _, tt := range []struct {
		name   string
		runner func(Collection) Runner
		cpus   int
	}{
		{"again", again, 1},
		{"again_on_all", again, runtime.NumCPU()},
		{"exec", execs, 1},
		{"exec_on_all", execs, runtime.NumCPU()},
	} {
		b.Run(tt.name, func(b *testing.B) {
			var ws []worker
			for _, l := range loadAll(b, nothing) {
				if run := tt.runner(l.Collection); run != nil {
					ws = append(ws, worker{l.engine, OnAll(tt.cpus, run)})
				}
			}
			agree(b, ws)
			race(b, ws, map[string]float64{"run": 1})
		})
	}
}

func again(c Collection) Runner { return c.Runner("nothing", &Input{Data: packet}) }

// execs sets up the packet for each run; nil for Linux, where that is a system
// call.
func execs(c Collection) Runner {
	m, ok := c.(inMachine)
	if !ok {
		return nil
	}
	p := m.Programs["nothing"]
	return func(n uint32) (Result, error) {
		in, out := vm.Input{Data: packet}, vm.Output{}
		start := time.Now()
		for range n {
			if err := p.Exec(context.Background(), &in, &out); err != nil {
				return Result{}, err
			}
		}
		return Result{Ret: out.Ret, Took: time.Since(start)}, nil
	}
}

// TestRunsAllocateNothing, once the first one has made room for the packet.
func TestRunsAllocateNothing(t *testing.T) {
	for _, e := range Ours(vm.ProgramOptions{}) {
		c, err := e.Load(nothing)
		if err != nil {
			t.Logf("without %s: %v", e.Name, err)
			continue
		}
		defer c.Close()
		p := c.(inMachine).Programs["nothing"]
		in, out := vm.Input{Data: packet}, vm.Output{}
		allocs := testing.AllocsPerRun(100, func() {
			if err := p.Exec(t.Context(), &in, &out); err != nil {
				t.Fatal(err)
			}
		})
		if allocs != 0 {
			t.Errorf("%s: a run allocates %g times", e.Name, allocs)
		}
	}
}
