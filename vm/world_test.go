package vm_test

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/exec"
)

// noSockets is a world without sockets.
type noSockets struct{}

func (noSockets) Lookup(*exec.SocketQuery) *exec.Socket { return nil }
func (noSockets) Current() *exec.Socket                 { return nil }
func (noSockets) At(uint64) *exec.Socket                { return nil }
func (noSockets) Socket(uint32) *exec.Socket            { return nil }

// TestOwnSocket: a context whose socket programs need not test has one, also in a world
// that says nothing of it.
func TestOwnSocket(t *testing.T) {
	for name, sockets := range map[string]exec.Sockets{"no world": nil, "a world without sockets": noSockets{}} {
		t.Run(name, func(t *testing.T) {
			p, err := vm.NewProgramWithOptions(&ebpf.ProgramSpec{
				Name: "connect", Type: ebpf.CGroupSockAddr, AttachType: ebpf.AttachCGroupInet4Connect, License: "GPL",
				Instructions: asm.Instructions{
					asm.LoadMem(asm.R1, asm.R1, 64, asm.DWord), // sk
					asm.LoadMem(asm.R0, asm.R1, 4, asm.Word),   // its family
					asm.JEq.Imm(asm.R0, 2, "is"), asm.Mov.Imm(asm.R0, 0), asm.Return(),
					asm.Mov.Imm(asm.R0, 1).WithSymbol("is"), asm.Return(),
				},
			}, vm.ProgramOptions{Env: &exec.Env{Sockets: sockets}})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			ctx := make([]byte, 72)
			ctx[28] = 2 // family
			if ret, err := p.Run(&ebpf.RunOptions{Context: ctx}); err != nil || ret != 1 {
				t.Errorf("gives %d, error %v", ret, err)
			}
		})
	}
}
