package netdev

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	gocmp "github.com/google/go-cmp/cmp"
)

// The interfaces of the test's network.
const (
	eth0, out1, out2 = 2, 11, 12
)

// udp is a frame to a port, with a VLAN tag where tagged.
func udp(port uint16, tagged bool, payload int) []byte {
	f := []byte{2, 0, 0, 0, 0, eth0, 2, 0, 0, 0, 0, 99}
	if tagged {
		f = append(f, 0x81, 0, 0, 5)
	}
	f = append(f, 8, 0)
	ip := []byte{0x45, 0, 0, byte(28 + payload), 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, 0x10, 0}
	ip = binary.BigEndian.AppendUint16(ip, port)
	ip = binary.BigEndian.AppendUint16(ip, uint16(8+payload))
	return append(append(append(f, ip...), 0, 0), make([]byte, payload)...)
}

// onPort is what a program does with packets to one port.
type onPort struct {
	port int32
	do   asm.Instructions
}

// switchPort begins with the port in R7, and ends with otherwise.
func switchPort(begin asm.Instructions, cases []onPort, otherwise int32) asm.Instructions {
	insns := begin
	for n, c := range cases {
		next := fmt.Sprintf("not%d", n)
		insns = append(insns, asm.JNE.Imm(asm.R7, c.port, next))
		insns = append(insns, c.do...)
		insns = append(insns, asm.Ja.Label("exit"), asm.Mov.Reg(asm.R7, asm.R7).WithSymbol(next))
	}
	return append(insns, asm.Mov.Imm(asm.R0, otherwise), asm.Mov.Reg(asm.R0, asm.R0).WithSymbol("exit"))
}

// withCtx is helper for helpers whose first argument is the context.
func withCtx(fn asm.BuiltinFunc, args ...int32) asm.Instructions {
	insns := asm.Instructions{asm.Mov.Reg(asm.R1, asm.R6)}
	for i, a := range args {
		insns = append(insns, asm.Mov.Imm(asm.R2+asm.Register(i), a))
	}
	return append(insns, fn.Call())
}

func ret(v int32) asm.Instructions { return asm.Instructions{asm.Mov.Imm(asm.R0, v)} }

// tcPort and xdpPort load the port behind IPv4 and UDP headers into R7, and the
// context into R6.
func tcPort() asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.Mov.Imm(asm.R2, 36), asm.Mov.Reg(asm.R3, asm.RFP), asm.Add.Imm(asm.R3, -8), asm.Mov.Imm(asm.R4, 2),
		asm.FnSkbLoadBytes.Call(),
		asm.Mov.Imm(asm.R7, 0),
		asm.JNE.Imm(asm.R0, 0, "short"),
		asm.LoadMem(asm.R7, asm.RFP, -8, asm.Half),
		asm.HostTo(asm.BE, asm.R7, asm.Half),
		asm.Mov.Reg(asm.R7, asm.R7).WithSymbol("short"),
	}
}

func xdpPort() asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R2, asm.R6, 0, asm.Word), asm.LoadMem(asm.R3, asm.R6, 4, asm.Word),
		asm.Mov.Imm(asm.R7, 0),
		asm.Mov.Reg(asm.R4, asm.R2), asm.Add.Imm(asm.R4, 38),
		asm.JGT.Reg(asm.R4, asm.R3, "short"),
		asm.LoadMem(asm.R7, asm.R2, 36, asm.Half),
		asm.HostTo(asm.BE, asm.R7, asm.Half),
		asm.Mov.Reg(asm.R7, asm.R7).WithSymbol("short"),
	}
}

// mark sets a field of the context to a number.
func set(field int16, v int32) asm.Instructions {
	return asm.Instructions{asm.Mov.Imm(asm.R1, v), asm.StoreMem(asm.R6, field, asm.R1, asm.Word)}
}

const (
	fieldMark = 8
	fieldCB   = 48
)

// crossroads are programs that do everything to a packet, by its port.
func crossroads() *ebpf.CollectionSpec {
	val := func(typ ebpf.MapType, name string, n uint32) *ebpf.MapSpec {
		return &ebpf.MapSpec{Name: name, Type: typ, KeySize: 4, ValueSize: 8, MaxEntries: n}
	}
	prog := func(name string, typ ebpf.ProgramType, attach ebpf.AttachType, insns asm.Instructions) *ebpf.ProgramSpec {
		return prog(name, typ, attach, insns...)
	}
	choose := switchPort(tcPort(), []onPort{
		{1, helper(asm.FnRedirect, out1, 0)},
		{2, helper(asm.FnRedirect, out1, 1)},
		{3, append(withCtx(asm.FnCloneRedirect, out1, 0), ret(0)...)},
		{4, ret(2)},
		{5, ret(4)},
		{7, helper(asm.FnRedirect, 999, 0)},
		{8, append(withCtx(asm.FnSkbVlanPush, 0x0081, 77), helper(asm.FnRedirect, out1, 0)...)},
		{9, append(set(fieldMark, 7), ret(-1)...)},
		{10, append(withCtx(asm.FnSkbChangeTail, 200, 0), helper(asm.FnRedirect, out1, 0)...)},
		{11, helper(asm.FnRedirect, out1, 0)},
		{12, append(withCtx(asm.FnCloneRedirect, out2, 1), helper(asm.FnRedirect, out1, 0)...)},
		{13, append(set(fieldCB, 9), ret(-1)...)},
		{14, append(withCtx(asm.FnSkbVlanPop), helper(asm.FnRedirect, out1, 0)...)},
		{15, helper(asm.FnRedirect, eth0, 0)},
		{16, ret(7)}, // nobody said where to
		{17, helper(asm.FnRedirectPeer, out1, 0)},
		{18, helper(asm.FnRedirect, out1, 0)},
		{19, ret(3)},
	}, -1)
	next := switchPort(append(tcPort(),
		asm.LoadMem(asm.R8, asm.R6, fieldMark, asm.Word), asm.LoadMem(asm.R9, asm.R6, fieldCB, asm.Word),
		asm.JEq.Imm(asm.R8, 7, "marked"),
		asm.JNE.Imm(asm.R9, 9, "unmarked"), // Linux may leave other things there
		asm.Mov.Imm(asm.R1, out2).WithSymbol("marked"), asm.Mov.Imm(asm.R2, 0), asm.FnRedirect.Call(), asm.Ja.Label("exit"),
		asm.Mov.Imm(asm.R8, 0).WithSymbol("unmarked"),
	), []onPort{{19, helper(asm.FnRedirect, out2, 0)}}, -1)
	egress := switchPort(tcPort(), []onPort{
		{11, helper(asm.FnRedirect, out2, 0)},
		{18, ret(2)},
		{12, append(withCtx(asm.FnSkbChangeTail, 100, 0), ret(0)...)},
	}, -1)
	onward := switchPort(tcPort(), []onPort{{2, helper(asm.FnRedirect, out2, 0)}, {12, helper(asm.FnRedirect, eth0, 0)}}, -1)
	driver := switchPort(xdpPort(), []onPort{
		{20, ret(xdpTX)},
		{21, redirectMap("devs", 0, broadcast|excludeIngress)},
		{22, redirectMap("devs", 0, broadcast)},
		{23, redirectMap("cpus", 0, 0)},
		{24, helper(asm.FnRedirect, out2, 0)},
		{25, redirectMap("devs", 1, 0)},
		{26, redirectMap("devs", 7, xdpTX)},
		{27, helper(asm.FnRedirect, 999, 0)},
		{28, redirectMap("hash", 100, 0)},
		{29, redirectMap("hash", 101, 1)},
		{30, append(withCtx(asm.FnXdpAdjustHead, 4), redirectMap("devs", 2, 0)...)},
		{31, redirectMap("cpus", 0, 0)},
		{32, redirectMap("cpus", 0, 0)},
		{33, ret(xdpRedirect)},
		{34, ret(9)},
	}, xdpPass)
	return &ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{
			"devs": val(ebpf.DevMap, "devs", 4), "hash": val(ebpf.DevMapHash, "hash", 4), "cpus": val(ebpf.CPUMap, "cpus", 1),
		},
		Programs: map[string]*ebpf.ProgramSpec{
			"choose": prog("choose", ebpf.SchedCLS, 0, choose),
			"next":   prog("next", ebpf.SchedCLS, 0, next),
			"egress": prog("egress", ebpf.SchedCLS, 0, egress),
			"onward": prog("onward", ebpf.SchedCLS, 0, onward),
			"driver": prog("driver", ebpf.XDP, ebpf.AttachXDP, driver),
			"leaves": prog("leaves", ebpf.XDP, ebpf.AttachXDPDevMap, switchPort(xdpPort(), []onPort{{22, ret(1)}}, xdpPass)),
			"on_cpu": prog("on_cpu", ebpf.XDP, ebpf.AttachXDPCPUMap, switchPort(xdpPort(), []onPort{
				{23, redirectMap("devs", 1, 0)}, {31, ret(1)},
			}, xdpPass)),
		},
	}
}

func crossroadsNet() *Config {
	key := func(n uint32) *uint32 { return &n }
	return &Config{
		Input: "eth0",
		Interfaces: []InterfaceConfig{
			{Name: "eth0", Index: eth0, MAC: "02:00:00:00:00:02"},
			{Name: "out1", Index: out1, MAC: "02:00:00:00:00:0b"},
			{Name: "out2", Index: out2, MAC: "02:00:00:00:00:0c", MTU: 1000},
		},
		Attach: []AttachConfig{
			{"eth0", XDP, "driver"}, {"eth0", TCXIngress, "choose"}, {"eth0", TCXIngress, "next"},
			{"out1", TCXEgress, "egress"}, {"out1", TCXIngress, "onward"}, {"out2", TCXIngress, "onward"},
		},
		Maps: map[string][]EntryConfig{
			"devs": {{Key: key(0), If: "eth0"}, {Key: key(1), If: "out1", Prog: "leaves"}, {Key: key(2), If: "out2"}},
			"hash": {{Key: key(100), If: "out2", Prog: "leaves"}},
			"cpus": {{CPU: key(0), Prog: "on_cpu"}},
		},
	}
}

// TestVerdictsLikeTheKernel sends packets that take every turn through both
// networks.
func TestVerdictsLikeTheKernel(t *testing.T) {
	cfg, spec := crossroadsNet(), crossroads()
	k := newKernelNet(t, cfg, spec)
	for port := uint16(0); port < 36; port++ {
		frames := [][]byte{udp(port, false, 10), udp(port, true, 10), udp(port, false, 60), udp(port, false, 200), udp(port, false, 1100)}
		got, _ := virtual(t, cfg, spec, frames)
		sent := k.run(t, frames, got)
		for _, name := range []string{"eth0", "out1", "out2"} {
			if diff := gocmp.Diff(sent[name], got[name]); diff != "" {
				t.Errorf("port %d: %s transmits %d frames in Linux, %d here (-Linux +here):\n%.1500s",
					port, name, len(sent[name]), len(got[name]), diff)
			}
		}
	}
}
