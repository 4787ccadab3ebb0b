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

// nothing has programs that do nothing.
func nothing() *ebpf.CollectionSpec {
	spec := &ebpf.CollectionSpec{Programs: make(map[string]*ebpf.ProgramSpec)}
	for name, typ := range map[string]ebpf.ProgramType{"xdp": ebpf.XDP, "tc": ebpf.SchedCLS, "syscall": ebpf.Syscall} {
		p := &ebpf.ProgramSpec{Name: name, Type: typ, License: "GPL", Instructions: asm.Instructions{
			asm.Mov.Imm(asm.R0, 2), asm.Return(),
		}}
		if typ == ebpf.Syscall {
			p.Flags = sleepable
		}
		spec.Programs[name] = p
	}
	return spec
}

// sleepable is BPF_F_SLEEPABLE.
const sleepable = 1 << 4

// BenchmarkEnter is what it takes to enter and leave a program: over and over on
// one context, and from [vm.Program.Exec] with a packet or a context. Where all CPUs
// do so at once, a run takes as long as alone if nothing is shared.
func BenchmarkEnter(b *testing.B) {
	packet, ctx := vm.Input{Data: packet}, vm.Input{Ctx: make([]byte, 16)}
	for _, tt := range []struct {
		name   string
		runner func(Collection) Runner
		cpus   int
	}{
		{"again", again, 1},
		{"again_on_all", again, runtime.NumCPU()},
		{"exec_xdp", execs("xdp", packet), 1},
		{"exec_xdp_on_all", execs("xdp", packet), runtime.NumCPU()},
		{"exec_tc", execs("tc", packet), 1},
		{"exec_syscall", execs("syscall", ctx), 1},
	} {
		b.Run(tt.name, func(b *testing.B) {
			var ws []worker
			for _, l := range loadAll(b, nothing()) {
				if run := tt.runner(l.Collection); run != nil {
					ws = append(ws, worker{l.engine, OnAll(tt.cpus, run)})
				}
			}
			agree(b, ws)
			race(b, ws, map[string]float64{"run": 1})
		})
	}
}

func again(c Collection) Runner { return c.Runner("xdp", &Input{Data: packet}) }

// execs sets up packet or context for each run; nil for Linux, where that is a system
// call.
func execs(prog string, in vm.Input) func(Collection) Runner {
	return func(c Collection) Runner {
		m, ok := c.(inMachine)
		if !ok {
			return nil
		}
		p := m.Programs[prog]
		return func(n uint32) (Result, error) {
			in, out := in, vm.Output{}
			start := time.Now()
			for range n {
				if err := p.Exec(context.Background(), &in, &out); err != nil {
					return Result{}, err
				}
			}
			return Result{Ret: out.Ret, Took: time.Since(start)}, nil
		}
	}
}

// TestRunsAllocateNothing, once the first one has made room for the packet.
func TestRunsAllocateNothing(t *testing.T) {
	for _, e := range Ours(vm.ProgramOptions{}) {
		c, err := e.Load(nothing())
		if err != nil {
			t.Logf("without %s: %v", e.Name, err)
			continue
		}
		defer c.Close()
		p := c.(inMachine).Programs["xdp"]
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
