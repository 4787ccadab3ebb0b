package vm_test

import (
	"context"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/vm"
)

// BenchmarkExec is what a call of a program costs that does nothing: with a
// packet of 64 bytes, with a context of 16, and on all CPUs at once.
func BenchmarkExec(b *testing.B) {
	load := func(b *testing.B, typ ebpf.ProgramType) *vm.Program {
		p, err := vm.NewProgram(&ebpf.ProgramSpec{Name: "nothing", Type: typ, Instructions: asm.Instructions{
			asm.Mov.Imm(asm.R0, 0), asm.Return(),
		}})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { p.Close() })
		return p
	}
	for _, tt := range []struct {
		name string
		typ  ebpf.ProgramType
		in   vm.Input
	}{
		{"xdp", ebpf.XDP, vm.Input{Data: make([]byte, 64)}},
		{"tc", ebpf.SchedCLS, vm.Input{Data: make([]byte, 64)}},
		{"syscall", ebpf.Syscall, vm.Input{Ctx: make([]byte, 16)}},
	} {
		b.Run(tt.name+"/one", func(b *testing.B) {
			p := load(b, tt.typ)
			ctx, in, out := context.Background(), tt.in, vm.Output{}
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Exec(ctx, &in, &out); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(tt.name+"/all", func(b *testing.B) {
			p := load(b, tt.typ)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				ctx, in, out := context.Background(), tt.in, vm.Output{}
				for pb.Next() {
					if err := p.Exec(ctx, &in, &out); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}
