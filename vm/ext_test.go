package vm_test

import (
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/vm"
)

// replaces is a program in place of a function with one argument.
func replaces(argument btf.Type) *ebpf.ProgramSpec {
	fn := &btf.Func{Name: "part", Type: &btf.FuncProto{
		Return: &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed},
		Params: []btf.FuncParam{{Name: "ctx", Type: argument}},
	}, Linkage: btf.GlobalFunc}
	return &ebpf.ProgramSpec{
		Name: "part", Type: ebpf.Extension, AttachTo: "part", License: "GPL",
		Instructions: asm.Instructions{
			btf.WithFuncMetadata(asm.LoadMem(asm.R0, asm.R1, 12, asm.Word), fn).WithSymbol("part"),
			asm.Return(),
		},
	}
}

// TestExtension runs a program of type ext on the context that the function takes
// which it replaces.
func TestExtension(t *testing.T) {
	p, err := vm.NewProgram(replaces(&btf.Pointer{Target: &btf.Struct{Name: "xdp_md", Size: 24}}))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ret, _, err := p.Test(make([]byte, 64))
	if err != nil || ret != 1 || p.Describe().Verdict(ret) != "XDP_DROP" {
		t.Errorf("returns %d (%s), %v", ret, p.Describe().Verdict(ret), err)
	}
	_, err = vm.NewProgram(replaces(&btf.Int{Name: "int", Size: 4}))
	if err == nil || !strings.Contains(err.Error(), "whose first argument is a context, which that of part is not") {
		t.Error(err)
	}
}
