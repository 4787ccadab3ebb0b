//go:build amd64 || arm64

package jit

import (
	"encoding/hex"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/helper"
	"github.com/skep-ebpf/skep/vm/interp"
	"github.com/skep-ebpf/skep/vm/jit/ir"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// handCode is machine code that was written by hand: testdata/hand_ARCH.s says what
// the functions do.
type handCode struct {
	enter, resume, ret       uint32
	first, spin, helps, tail uint32
	text                     string
}

// The instructions at which the functions of [handProgram] begin, apart from the main
// one, which is the first and knows the others' addresses.
const (
	atFirst = 10 + 2*iota
	atSpin
	atHelps
	atTail
)

// handProgram is a program of those functions, of which the one at offset main is where
// it begins. help is helper 0.
func handProgram(t testing.TB, main uint32, help helper.Func) *Program {
	t.Helper()
	if err := Available(); err != nil {
		t.Skip(err)
	}
	p := handProgramInterpreted(t)
	text, err := hex.DecodeString(hand.text)
	if err != nil {
		t.Fatal(err)
	}
	code := &ir.Code{
		Bytes: text, Enter: hand.enter, Resume: hand.resume, Return: hand.ret,
		Entries: []uint32{main, hand.first, hand.spin, hand.helps, hand.tail},
		Stacks:  []uint32{64, 64, 64, 64, 64},
	}
	funcs := []*ir.Func{{Name: "hand", Len: atFirst}, {Name: "first", Entry: atFirst, Len: 2}, {Name: "spin", Entry: atSpin, Len: 2},
		{Name: "helps", Entry: atHelps, Len: 2}, {Name: "tail", Entry: atTail, Len: 2}}
	for _, f := range funcs {
		f.Entered = true
	}
	prog, err := load(p, code, funcs, []*helper.Helper{{Name: "help", Func: help}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = prog.Close() })
	return prog
}

// handProgramInterpreted has functions where those of [handProgram] begin.
func handProgramInterpreted(t testing.TB) *interp.Program {
	t.Helper()
	typ, err := progtype.ForAttach(ebpf.XDP, 0)
	if err != nil {
		t.Fatal(err)
	}
	in := interp.Input{Name: "hand", Type: typ}
	for at := atFirst; at <= atTail; at += 2 {
		n := len(in.Insns)
		in.Insns = append(in.Insns, isa.Instruction{Op: isa.ClassLD | isa.SizeDW, Src: isa.PseudoFunc, Dst: isa.R2, Imm: int32(at - n - 1)}, isa.Instruction{})
	}
	for range 5 {
		in.Insns = append(in.Insns, isa.Instruction{Op: isa.ClassALU64 | isa.AluMOV}, isa.Instruction{Op: isa.ClassJMP | isa.JmpEXIT})
	}
	p, err := interp.Compile(&in)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newState(t testing.TB) *exec.State {
	t.Helper()
	s, err := exec.NewState(0)
	if err != nil {
		t.Fatal(err)
	}
	s.Budget = 1 << 40
	return s
}

// call runs the function of a program at an instruction on a state, with arguments.
func call(p *Program, s *exec.State, insn int, args ...uint64) (uint64, error) {
	return later{p, p.function(insn)}.Run(s, func() (r [5]uint64, from [5]exec.Prov) {
		copy(r[:], args)
		return r, from
	})
}
