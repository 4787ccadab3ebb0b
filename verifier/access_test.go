package verifier

import (
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
)

func TestSocketField(t *testing.T) {
	for _, c := range []struct {
		typ       RegType
		off, size int
		want      bool
	}{
		{PtrToSocket, 0, 4, true}, {PtrToSocket, 0, 2, false}, // bound_dev_if, whole only
		{PtrToSocket, 4, 1, true}, {PtrToSocket, 6, 2, false}, // family, from its beginning
		{PtrToSocket, 26, 2, true}, {PtrToSocket, 24, 8, false}, // src_ip4
		{PtrToSocket, 48, 2, true}, {PtrToSocket, 48, 4, true}, {PtrToSocket, 50, 2, false}, // dst_port, and what is behind
		{PtrToSocket, 76, 4, true}, {PtrToSocket, 80, 4, false}, {PtrToSocket, -4, 4, false},
		{PtrToSockCommon, 4, 4, true}, {PtrToSockCommon, 16, 4, false}, // mark is for full sockets
		{PtrToTCPSock, 0, 4, true}, {PtrToTCPSock, 80, 8, true}, {PtrToTCPSock, 80, 4, false}, {PtrToTCPSock, 112, 4, false},
		{PtrToXDPSock, 0, 4, true}, {PtrToXDPSock, 4, 4, false},
	} {
		if got := socketField(c.typ, c.off, c.size); got != c.want {
			t.Errorf("%s: %d bytes at %d: %v", typeNames[c.typ], c.size, c.off, got)
		}
	}
}

func TestMemberAt(t *testing.T) {
	long := &btf.Int{Name: "long", Size: 8}
	inner := &btf.Struct{Size: 16, Members: []btf.Member{{Name: "a", Type: long}, {Name: "b", Type: long, Offset: 64}}}
	outer := &btf.Struct{Name: "outer", Size: 40, Members: []btf.Member{
		{Name: "x", Type: long}, {Name: "in", Type: inner, Offset: 64}, {Type: inner, Offset: 192},
	}}
	for _, c := range []struct {
		path       string
		begin, end int
		ok         bool
	}{
		{"", 0, 40, true}, {"x", 0, 8, true}, {"in", 8, 24, true}, {"in.b", 16, 24, true},
		{"b", 32, 40, true}, // of the member without a name
		{"y", 0, 0, false},
	} {
		begin, end, ok := memberAt(outer, c.path)
		if begin != c.begin || end != c.end || ok != c.ok {
			t.Errorf("%q: %d to %d, %v", c.path, begin, end, ok)
		}
	}
}

// TestVersions holds what versions of Linux disagree on.
func TestVersions(t *testing.T) {
	const r1, r2, r3, r10 = 1, 2, 3, 10
	value := []isa.Instruction{{Op: isa.OpLDDW, Dst: r2, Src: isa.PseudoMapValue}, {}}
	exit := []isa.Instruction{{Op: isa.ClassALU64 | isa.AluMOV}, {Op: isa.ClassJMP | isa.JmpEXIT}}
	for _, c := range []struct {
		name  string
		insns []isa.Instruction
		words map[string]string // of the refusal, by version; "": accepted
	}{
		{"back and forth in a value", append(value,
			isa.Instruction{Op: isa.ClassALU64 | isa.AluADD, Dst: r2, Imm: -4},
			isa.Instruction{Op: isa.ClassLDX | isa.ModeMEM | isa.SizeW, Dst: r3, Src: r2, Off: 4},
		), map[string]string{"6.12": "", "7.2": "R2 unbounded memory access"}},
		{"an immediate to the context", []isa.Instruction{
			{Op: isa.ClassST | isa.ModeMEM | isa.SizeW, Dst: r1, Off: 8},
		}, map[string]string{"6.1": "BPF_ST stores into R1 ctx is not allowed", "6.6": ""}},
		{"below what was written", []isa.Instruction{
			{Op: isa.ClassLDX | isa.ModeMEM | isa.SizeDW, Dst: r3, Src: r10, Off: -16},
		}, map[string]string{"5.4": "invalid read from stack", "6.1": "invalid read from stack", "6.12": ""}},
		{"a part of a wider spill", []isa.Instruction{
			{Op: isa.ClassLDX | isa.ModeMEM | isa.SizeB, Dst: r3, Src: r1, Off: 8},
			{Op: isa.ClassSTX | isa.ModeMEM | isa.SizeDW, Dst: r10, Src: r3, Off: -8},
			{Op: isa.ClassLDX | isa.ModeMEM | isa.SizeW, Dst: r3, Src: r10, Off: -8},
			value[0], value[1],
			{Op: isa.ClassALU64 | isa.AluAND, Dst: r3, Imm: 15},
			{Op: isa.ClassALU64 | isa.AluADD | isa.SrcX, Dst: r2, Src: r3},
			{Op: isa.ClassLDX | isa.ModeMEM | isa.SizeB, Dst: r3, Src: r2},
		}, map[string]string{"6.1": "", "6.12": "", "7.2": ""}},
	} {
		for version, want := range c.words {
			img := &program.Image{
				Name: "test", Type: ebpf.SchedCLS, License: "GPL", Insns: append(append([]isa.Instruction(nil), c.insns...), exit...),
				Funcs: []program.Function{{Name: "test"}}, Maps: []string{"values"},
			}
			maps := map[string]*ebpf.MapSpec{"values": {Name: "values", Type: ebpf.Array, KeySize: 4, ValueSize: 16, MaxEntries: 1}}
			_, err := CheckImage(img, maps, &Options{Kernel: version})
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("%s, Linux %s: %v, not %q", c.name, version, err, want)
			}
		}
	}
}
