package helper_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/helper"
	"github.com/skep-ebpf/skep/vm/internal/oracle"
	"github.com/skep-ebpf/skep/vm/interp"
	"github.com/skep-ebpf/skep/vm/progtype"
	"github.com/skep-ebpf/skep/vm/world"
)

// TestNameOfExecutable asks in checked mode for the name of the file that the
// current task executes.
func TestNameOfExecutable(t *testing.T) {
	const pathInFile, room = 64, 16
	var raw bytes.Buffer
	kfunc := asm.Instruction{OpCode: asm.OpCode(asm.JumpClass).SetJumpOp(asm.Call), Src: asm.PseudoKfuncCall}
	insns := asm.Instructions{
		asm.FnGetCurrentTaskBtf.Call(),
		asm.Mov.Reg(asm.R1, asm.R0),
		kfunc, // 2
		asm.Instruction{OpCode: asm.JNE.Op(asm.ImmSource), Dst: asm.R0, Offset: 1},
		asm.Return(),
		asm.Mov.Reg(asm.R6, asm.R0),
		asm.Mov.Reg(asm.R1, asm.R0), asm.Add.Imm(asm.R1, pathInFile),
		asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, -room),
		asm.Mov.Imm(asm.R3, room),
		kfunc, // 11
		asm.Mov.Reg(asm.R7, asm.R0),
		asm.Mov.Reg(asm.R1, asm.R6),
		kfunc, // 14
		asm.LoadMem(asm.R0, asm.RFP, -room+5, asm.Byte),
		asm.Add.Reg(asm.R0, asm.R7),
		asm.Neg.Imm(asm.R0, 0), // such programs return no positive number
		asm.Return(),
	}
	if err := insns.Marshal(&raw, binary.LittleEndian); err != nil {
		t.Fatal(err)
	}
	code, err := isa.Decode(raw.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	typ, err := progtype.Get(ebpf.LSM)
	if err != nil {
		t.Fatal(err)
	}
	p, err := interp.Compile(&interp.Input{Name: "test", Type: typ, Insns: code, Kfuncs: map[int]*btf.Func{
		2: {Name: "bpf_get_task_exe_file"}, 11: {Name: "bpf_path_d_path"}, 14: {Name: "bpf_put_file"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]int32{
		"{current: {pid: 7}, processes: [{pid: 7, exe: /usr/bin/x}]}":                  'b' + int32(len("/usr/bin/x")) + 1,
		"{current: {pid: 8}, processes: [{pid: 7, exe: /bin/x, threads: [{pid: 8}]}]}": 'x' + int32(len("/bin/x")) + 1,
		"{current: {pid: 7}, processes: [{pid: 7}]}":                                   0,
		"{processes: [{pid: 7, exe: /usr/bin/x}]}":                                     0,
	} {
		w, err := world.Parse("world.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		s := oracle.State(t)
		w.Into(s.Env)
		if err := typ.Setup(s, &progtype.Input{Ctx: make([]byte, 8)}); err != nil {
			t.Fatal(err)
		}
		s.Budget = 1000
		if got, err := p.Run(s, interp.Checked); err != nil || -int32(got) != want {
			t.Errorf("%s: %d, %v; want %d", text, -int32(got), err, want)
		}
	}
	if got := helper.Kfunc("bpf_path_d_path").Func(oracle.State(t), 0, 0, 0, 0, 0); int32(got) != -22 {
		t.Errorf("no buffer: %d", int32(got))
	}
}
