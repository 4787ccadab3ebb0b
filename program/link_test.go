package program

import (
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/isa"
)

// handBuilt is a spec with one program p.
func handBuilt(insns asm.Instructions) *ebpf.CollectionSpec {
	return &ebpf.CollectionSpec{
		Programs: map[string]*ebpf.ProgramSpec{"p": {Name: "p", Type: ebpf.XDP, Instructions: insns}},
		Maps:     map[string]*ebpf.MapSpec{"m": {}, "n": {}},
	}
}

func link(t *testing.T, spec *ebpf.CollectionSpec, prog string, opts *LinkOptions) *Image {
	t.Helper()
	img, err := Link(spec, prog, opts)
	if err != nil {
		t.Fatal(err)
	}
	checkImage(t, img)
	return img
}

func funcNames(img *Image) []string {
	var names []string
	for _, f := range img.Funcs {
		names = append(names, f.Name)
	}
	return names
}

func TestLinkFunctions(t *testing.T) {
	spec := open(t, "data.o").Spec
	tests := map[string]struct{ funcs, maps []string }{
		"entry": {[]string{"entry", "step", "twice", "leaf"}, []string{".rodata", "seen", ".bss", ".rodata.cfg", ".data", ".data.custom"}},
		"other": {[]string{"other", "leaf"}, []string{".data", ".data.custom"}},
	}
	for name, test := range tests {
		img := link(t, spec, name, nil)
		if diff := cmp.Diff(test.funcs, funcNames(img)); diff != "" {
			t.Errorf("%s: functions (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(test.maps, img.Maps); diff != "" {
			t.Errorf("%s: maps (-want +got):\n%s", name, diff)
		}
		for i, ins := range img.Insns {
			if !ins.IsCall(isa.CallLocal) && !(ins.IsWide() && ins.Src == isa.PseudoFunc) {
				continue
			}
			target := i + 1 + int(ins.Imm)
			if f := img.FuncAt(target); f == nil || f.Start != target || f.Type == nil {
				t.Errorf("%s: instruction %d (%s) does not reach a function's start", name, i, img.Text(i))
			}
		}
	}
}

func TestLinkHandBuilt(t *testing.T) {
	img := link(t, handBuilt(asm.Instructions{
		asm.LoadMapPtr(asm.R1, 0).WithReference("n"),
		asm.LoadMapValue(asm.R2, 0, 12).WithReference("m"),
		asm.LoadMapPtr(asm.R3, 0).WithReference("n"),
		asm.JEq.Imm(asm.R1, 0, "out"),
		asm.Instruction{OpCode: asm.LoadImmOp(asm.DWord), Src: asm.PseudoFunc, Constant: -1}.WithReference("f"),
		asm.Call.Label("f"),
		asm.Mov.Imm(asm.R0, 1).WithSymbol("out"),
		asm.Return(),
		asm.Ja.Label("out2").WithSymbol("f"),
		asm.Mov.Imm(asm.R0, 2),
		asm.Return().WithSymbol("out2"),
	}), "p", nil)
	want := []string{
		"LoadMapPtr dst: r1 map: n", "", "LoadMapValue dst: r2, map: m off: 12", "", "LoadMapPtr dst: r3 map: n", "",
		"JEqImm dst: r1 off: 3 imm: 0", "LdImmDW dst: r0 imm: 4 <f>", "", "Call 2 <f>",
		"MovImm dst: r0 imm: 1", "Exit", "Ja off: 1", "MovImm dst: r0 imm: 2", "Exit",
	}
	var got []string
	for i := range img.Insns {
		got = append(got, img.Text(i))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"n", "m"}, img.Maps); diff != "" {
		t.Errorf("maps (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Function{{Name: "p"}, {Name: "f", Start: 12}}, img.Funcs); diff != "" {
		t.Errorf("functions (-want +got):\n%s", diff)
	}
}

func TestLinkLeavesTheSpecAlone(t *testing.T) {
	spec := open(t, "core.o").Spec
	before := spec.Programs["poisoned"].Instructions.String()
	for range 2 {
		link(t, spec, "poisoned", &LinkOptions{KernelTypes: open(t, "data.o").Spec.Types})
	}
	if diff := cmp.Diff(before, spec.Programs["poisoned"].Instructions.String()); diff != "" {
		t.Errorf("instructions of the spec changed:\n%s", diff)
	}
}

func TestLinkKeepsReservedBits(t *testing.T) {
	img := link(t, open(t, "v4.o").Spec, "reserved", nil)
	want := []isa.Instruction{
		{Op: 0xb7, Imm: 1},
		{Op: 0x37, Off: 7, Imm: 2},
		{Op: 0xbf, Src: 1, Off: 1, Imm: 1},
		{Op: 0xb7, Src: 3, Off: 9, Imm: 4},
		{Op: 0x95, Dst: 1, Src: 2, Off: 3, Imm: 5},
	}
	if diff := cmp.Diff(want, img.Insns); diff != "" {
		t.Errorf("instructions (-want +got):\n%s", diff)
	}
	if got, want := img.Text(2), "MovReg dst: r0 src: r1 off: 1"; got != want {
		t.Errorf("text of an address-space cast is %q, want %q", got, want)
	}
}

func TestLinkNewInstructions(t *testing.T) {
	img := link(t, open(t, "v4.o").Spec, "modern", nil)
	var text strings.Builder
	for i := range img.Insns {
		text.WriteString(img.Text(i) + "\n")
	}
	for _, want := range []string{"MovSX16Reg32", "MovSX8Reg32", "LdXMemSXW", "SDivReg", "SModReg", "BSwap32"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %s in\n%s", want, &text)
		}
	}
}

func TestWhere(t *testing.T) {
	img := link(t, open(t, "data.o").Spec, "entry", nil)
	if got, want := img.Where(0), "data.c:38: __u32 key = ctx->ingress_ifindex;"; got != want {
		t.Errorf("first instruction is at %q, want %q", got, want)
	}
	leaf := img.Funcs[3].Start
	if got, want := img.Where(leaf), "data.c:20: hidden += x;"; got != want {
		t.Errorf("start of leaf is at %q, want %q", got, want)
	}
	for _, i := range []int{-1, len(img.Insns)} {
		if img.Text(i) != "" {
			t.Errorf("instruction %d has text", i)
		}
	}
}

func TestLinkErrors(t *testing.T) {
	call := asm.Instruction{OpCode: asm.OpCode(asm.JumpClass).SetJumpOp(asm.Call), Src: asm.PseudoKfuncCall, Constant: -1}
	far := asm.Instructions{asm.JEq.Imm(asm.R1, 0, "out")}
	for range 40_000 {
		far = append(far, asm.Mov.Imm(asm.R0, 0))
	}
	far = append(far, asm.Return().WithSymbol("out"))
	tests := map[string]struct {
		insns asm.Instructions
		want  string
	}{
		"no instructions": {nil, "no instructions"},
		"no map":          {asm.Instructions{asm.LoadMapPtr(asm.R1, 0).WithReference("x")}, "map x, which the spec does not have"},
		"map by fd":       {asm.Instructions{asm.LoadMapPtr(asm.R1, 5)}, "file descriptor 5"},
		"no function":     {asm.Instructions{asm.Call.Label("f")}, "f, which is defined nowhere"},
		"no label":        {asm.Instructions{asm.Ja.Label("out")}, "out, which is defined nowhere"},
		"library call":    {asm.Instructions{asm.Call.Label("memcpy")}, "use __builtin_memcpy with a small constant size"},
		"compiler call":   {asm.Instructions{asm.Call.Label("__multi3")}, "128-bit"},
		"plain kfunc":     {asm.Instructions{call.WithReference("bpf_f")}, "load the object with program.Open"},
		"two symbols":     {asm.Instructions{asm.Return().WithSymbol("a"), asm.Return().WithSymbol("a")}, "a is defined twice"},
		"far jump":        {far, "too far for 16 bits"},
		"loose symbol":    {asm.Instructions{asm.LoadImm(asm.R1, 0, asm.DWord).WithReference("s")}, "s, which is defined nowhere"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Link(handBuilt(test.insns), "p", nil)
			checkError(t, err, test.want)
		})
	}
	_, err := Link(open(t, "data.o").Spec, "entri", nil)
	checkError(t, err, "there is no program entri; did you mean entry?")
	_, err = Link(&ebpf.CollectionSpec{}, "x", nil)
	checkError(t, err, "has no programs")
}

// checkError checks that an error is a sentence that says something.
func checkError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error that says %q", want)
	}
	isSentence(t, err)
	if !strings.Contains(err.Error(), want) {
		t.Errorf("error is %q and does not say %q", err, want)
	}
}

func TestUnresolved(t *testing.T) {
	spec := open(t, "unresolved.o").Spec
	_, err := Link(spec, "undefined", nil)
	checkError(t, err, "link program undefined (section xdp): instruction 1 (unresolved.c:10): reference to elsewhere, which is defined nowhere")
	_, err = Link(spec, "libcall", nil)
	checkError(t, err, "reference to memset, which the compiler put in")
}
