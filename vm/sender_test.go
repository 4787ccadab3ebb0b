package vm

import (
	"encoding/binary"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/world"
)

const sendingWorld = `
current: {pid: 1}
processes: [{pid: 1}, {pid: 100}, {pid: 200}, {pid: 300}]
sockets:
- {name: client, proto: tcp, local: "10.0.0.1:1000", remote: "10.0.0.2:80", pid: 100}
- {name: server, proto: udp, local: "0.0.0.0:53", pid: 200}
- {name: six, proto: udp, local: "[fd00::1]:1000", pid: 300}
- {name: nobody's, proto: tcp, local: "10.0.0.1:2000"}
`

// TestSenders: a packet on its way out is its sender's.
func TestSenders(t *testing.T) {
	w, err := world.Parse("world.yaml", []byte(sendingWorld))
	if err != nil {
		t.Fatal(err)
	}
	env := new(exec.Env)
	w.Into(env)
	v4 := "\x45\x00\x00\x28\x00\x00\x40\x00\x40\x06\x00\x00\x0a\x00\x00\x01\x0a\x00\x00\x02"
	udp4 := "\x45\x00\x00\x28\x00\x00\x40\x00\x40\x11\x00\x00\x0a\x00\x00\x01\x0a\x00\x00\x02"
	udp6 := "\x60\x00\x00\x00\x00\x14\x11\x40" +
		"\xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02"
	rest := "\x00\x00\x00\x00\x00\x00\x00\x00\x50\x02\xff\xff\x00\x00\x00\x00"
	tests := []struct {
		name   string
		typ    ebpf.ProgramType
		attach ebpf.AttachType
		packet string
		pid    uint32
		socket bool
	}{
		{"out, of a connection", ebpf.CGroupSKB, ebpf.AttachCGroupInetEgress, "\x08\x00" + v4 + "\x03\xe8\x00\x50" + rest, 100, true},
		{"out, of a server", ebpf.CGroupSKB, ebpf.AttachCGroupInetEgress, "\x08\x00" + udp4 + "\x00\x35\x12\x34" + rest, 200, true},
		{"out, of IPv6", ebpf.CGroupSKB, ebpf.AttachCGroupInetEgress, "\x86\xdd" + udp6 + "\x03\xe8\x12\x34" + rest, 300, true},
		{"out, of nobody", ebpf.CGroupSKB, ebpf.AttachCGroupInetEgress, "\x08\x00" + v4 + "\x07\xd0\x00\x50" + rest, 1, true},
		{"out, of no socket", ebpf.CGroupSKB, ebpf.AttachCGroupInetEgress, "\x08\x00" + v4 + "\x07\xd1\x00\x50" + rest, 1, false},
		{"in", ebpf.CGroupSKB, ebpf.AttachCGroupInetIngress, "\x08\x00" + udp4 + "\x12\x34\x00\x35" + rest, 1, true},
		{"in, the wrong way", ebpf.CGroupSKB, ebpf.AttachCGroupInetIngress, "\x08\x00" + v4 + "\x03\xe8\x00\x50" + rest, 1, false},
		{"out by traffic control", ebpf.SchedCLS, ebpf.AttachTCXEgress, "\x08\x00" + v4 + "\x03\xe8\x00\x50" + rest, 100, true},
		{"in by traffic control", ebpf.SchedCLS, ebpf.AttachTCXIngress, "\x08\x00" + v4 + "\x03\xe8\x00\x50" + rest, 1, false},
		{"too short", ebpf.CGroupSKB, ebpf.AttachCGroupInetEgress, "\x08\x00" + v4, 1, false},
	}
	for _, tt := range tests {
		const mark, sk = 8, 168
		prog, err := NewProgramWithOptions(&ebpf.ProgramSpec{Name: "main", Type: tt.typ, AttachType: tt.attach, License: "GPL", Instructions: asm.Instructions{
			asm.Mov.Reg(asm.R6, asm.R1),
			asm.FnGetCurrentPidTgid.Call(),
			asm.LoadMem(asm.R1, asm.R6, sk, asm.DWord),
			asm.JEq.Imm(asm.R1, 0, "none"),
			asm.Or.Imm(asm.R0, 1<<16),
			asm.StoreMem(asm.R6, mark, asm.R0, asm.Word).WithSymbol("none"),
			asm.Mov.Imm(asm.R0, 1), asm.Return(),
		}}, ProgramOptions{Env: env})
		if err != nil {
			t.Fatal(err)
		}
		out := Output{Ctx: make([]byte, 192)}
		if err := prog.Exec(t.Context(), &Input{Data: append(make([]byte, 12), tt.packet...)}, &out); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		left := binary.NativeEndian.Uint32(out.Ctx[mark:])
		if pid, socket := left&0xffff, left>>16 != 0; pid != tt.pid || socket != tt.socket {
			t.Errorf("%s: process %d, socket %v; want %d, %v", tt.name, pid, socket, tt.pid, tt.socket)
		}
		prog.Close()
	}
}
