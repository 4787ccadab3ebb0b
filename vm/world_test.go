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

// TestOwnSocketAsked: helpers know the context's socket also where no world says what
// it is, and it is another one in each run.
func TestOwnSocketAsked(t *testing.T) {
	const level, name = 1, 36 // SOL_SOCKET, SO_MARK
	option := asm.Instructions{
		asm.Mov.Reg(asm.R1, asm.R6), asm.Mov.Imm(asm.R2, level), asm.Mov.Imm(asm.R3, name),
		asm.Mov.Reg(asm.R4, asm.RFP), asm.Add.Imm(asm.R4, -4), asm.Mov.Imm(asm.R5, 4),
	}
	insns := asm.Instructions{asm.Mov.Reg(asm.R6, asm.R1)}
	insns = append(insns, option...)
	insns = append(insns, asm.FnGetsockopt.Call(), asm.JNE.Imm(asm.R0, 0, "wrong"),
		asm.LoadMem(asm.R7, asm.RFP, -4, asm.Word), asm.JNE.Imm(asm.R7, 0, "wrong"),
		asm.StoreImm(asm.RFP, -4, 7, asm.Word))
	insns = append(insns, option...)
	insns = append(insns, asm.FnSetsockopt.Call(), asm.JNE.Imm(asm.R0, 0, "wrong"),
		asm.LoadMem(asm.R1, asm.R6, 64, asm.DWord), asm.LoadMem(asm.R1, asm.R1, 16, asm.Word), // sk->mark
		asm.JNE.Imm(asm.R1, 7, "wrong"),
		asm.Mov.Reg(asm.R1, asm.R6), asm.FnGetSocketCookie.Call(), asm.JEq.Imm(asm.R0, 0, "wrong"),
		asm.Mov.Imm(asm.R0, 1), asm.Return(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("wrong"), asm.Return())
	for run, sockets := range []exec.Sockets{nil, noSockets{}, nil} {
		p, err := vm.NewProgramWithOptions(&ebpf.ProgramSpec{
			Name: "connect", Type: ebpf.CGroupSockAddr, AttachType: ebpf.AttachCGroupInet4Connect, License: "GPL", Instructions: insns,
		}, vm.ProgramOptions{Env: &exec.Env{Sockets: sockets}})
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if ret, err := p.Run(&ebpf.RunOptions{Context: make([]byte, 72)}); err != nil || ret != 1 {
			t.Errorf("run %d gives %d, error %v", run, ret, err)
		}
	}
}
