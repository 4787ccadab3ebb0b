package jit

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/internal/proof"
	"github.com/skep-ebpf/skep/vm/interp"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// TestHarden looks for numbers that a program chose in its code.
func TestHarden(t *testing.T) {
	if err := Available(); err != nil {
		t.Skip(err)
	}
	const wide, narrow = 0x1337c0dedeadbeef, 0x0badcafe
	high := uint32(wide >> 32)
	insns := []isa.Instruction{
		{Op: isa.ClassLDX | isa.SizeW | isa.ModeMEM, Dst: isa.R0, Src: isa.R1}, // nobody knows it beforehand
		{Op: isa.ClassLD | isa.SizeDW, Dst: isa.R2, Imm: int32(wide&0xffffffff - 1<<32)}, {Imm: int32(high)},
		{Op: isa.ClassALU64 | isa.SrcX | isa.AluXOR, Dst: isa.R0, Src: isa.R2},
		{Op: isa.ClassALU64 | isa.AluXOR, Dst: isa.R0, Imm: narrow},
		{Op: isa.ClassJMP | isa.JmpEXIT},
	}
	typ, err := progtype.ForAttach(ebpf.SocketFilter, 0)
	if err != nil {
		t.Fatal(err)
	}
	facts, err := proof.Of(typ, insns, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := interp.Compile(&interp.Input{Name: "test", Type: typ, Insns: insns, Facts: facts})
	if err != nil {
		t.Fatal(err)
	}
	s, err := exec.NewState(0)
	if err != nil {
		t.Fatal(err)
	}
	numbers := [][]byte{binary.LittleEndian.AppendUint32(nil, wide&0xffffffff), binary.LittleEndian.AppendUint32(nil, narrow)}
	var codes [][]byte
	var results []uint64
	for _, opts := range []Options{{}, {Harden: true}, {Harden: true}} {
		native, err := Compile(p, opts)
		if err != nil {
			t.Fatal(err)
		}
		defer native.Close()
		for _, n := range numbers {
			if got := bytes.Contains(native.code.Bytes(), n); got && opts.Harden {
				t.Errorf("the code holds %x, which the program chose", n)
			}
		}
		if err := typ.Setup(s, &progtype.Input{Data: make([]byte, 64)}); err != nil {
			t.Fatal(err)
		}
		r0, err := native.Run(s)
		if err != nil {
			t.Fatal(err)
		}
		codes, results = append(codes, native.code.Bytes()), append(results, r0)
	}
	if bytes.Equal(codes[1], codes[2]) {
		t.Error("code is the same when it is made again")
	}
	if results[0] != results[1] || results[1] != results[2] {
		t.Errorf("results are %#x", results)
	}
}
