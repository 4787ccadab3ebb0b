// Package oracle runs a program once in Linux and once in the machine, for tests
// that hold one against the other.
package oracle

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/vm/engine"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/internal/proof"
	"github.com/skep-ebpf/skep/vm/interp"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// A Run is a program and what it starts from. A nil context is none.
type Run struct {
	Type  ebpf.ProgramType
	Insns asm.Instructions
	Flags uint32 // of the program's load
	Data  []byte
	Ctx   []byte
	// Facts are what the verifier proves of the program; nil: it is asked, and a
	// program that it refuses runs checked in the machine.
	Facts []verifier.Fact
}

// XDPHasFrags is BPF_F_XDP_HAS_FRAGS.
const XDPHasFrags = 1 << 5

// A Result is what a run leaves.
type Result struct {
	Ret  uint32
	Data []byte
	Ctx  []byte
	Err  error // why the run did not begin or end as it should
}

// Equal reports whether two results are the same, whatever their errors say.
func (r Result) Equal(o Result) bool {
	return (r.Err == nil) == (o.Err == nil) && r.Ret == o.Ret && bytes.Equal(r.Data, o.Data) && bytes.Equal(r.Ctx, o.Ctx)
}

func (r Result) String() string {
	return fmt.Sprintf("R0 = %#x, error %v\n packet  %x\n context %x", r.Ret, r.Err, r.Data, r.Ctx)
}

// Kernel runs the program in Linux. An error is the verifier's refusal.
func (r *Run) Kernel(t testing.TB) (Result, error) {
	t.Helper()
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: r.Type, Instructions: r.Insns, Flags: r.Flags, License: "GPL"})
	if err != nil {
		return Result{}, err
	}
	defer prog.Close()
	opts := ebpf.RunOptions{Data: r.Data, DataOut: make([]byte, 128<<10)}
	if r.Ctx != nil {
		opts.Context, opts.ContextOut = r.Ctx, make([]byte, len(r.Ctx))
	}
	ret, err := prog.Run(&opts)
	if err != nil {
		return Result{Err: err}, nil
	}
	res := Result{Ret: ret, Data: opts.DataOut}
	if r.Ctx != nil {
		res.Ctx = opts.ContextOut.([]byte)
	}
	return res, nil
}

// Compile makes the program one for the machine, and describes its type. It gives
// an error where the machine refuses the program.
func (r *Run) Compile(t testing.TB, mode engine.Mode) (*engine.Program, *progtype.Type, error) {
	t.Helper()
	var raw bytes.Buffer
	if err := r.Insns.Marshal(&raw, binary.LittleEndian); err != nil {
		t.Fatal(err)
	}
	insns, err := isa.Decode(raw.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	typ, err := progtype.Get(r.Type)
	if err != nil {
		t.Fatal(err)
	}
	facts := r.Facts
	if facts == nil {
		if facts, err = proof.Of(typ, insns, nil); err != nil {
			mode = engine.Checked // what the verifier refuses runs no other way
		}
	}
	p, err := engine.Compile(&interp.Input{Name: "test", Type: typ, Insns: insns, Facts: facts}, engine.Options{Mode: mode})
	return p, typ, err
}

// Machine runs the program on a state. The error of the result may be Compile's
// or the set-up's.
func (r *Run) Machine(t testing.TB, s *exec.State, mode engine.Mode) Result {
	t.Helper()
	p, typ, err := r.Compile(t, mode)
	if err != nil {
		return Result{Err: err}
	}
	if err := typ.Setup(s, &progtype.Input{Data: r.Data, Ctx: r.Ctx, Frags: r.Flags&XDPHasFrags != 0}); err != nil {
		return Result{Err: err}
	}
	s.Budget = 1 << 20
	ret, err := p.Run(s)
	if err != nil {
		return Result{Err: err}
	}
	var out progtype.Output
	if r.Ctx != nil {
		out.Ctx = make([]byte, len(r.Ctx))
	}
	typ.Finish(s, &out)
	return Result{Ret: uint32(ret), Data: out.Data, Ctx: out.Ctx}
}

// Exit ends a program of a type with R0 as its result; R1 must be the context.
// One for a cgroup may return no more than a bit, and leaves the rest in mark.
func Exit(typ ebpf.ProgramType) asm.Instructions {
	const mark = 8
	if typ != ebpf.CGroupSKB {
		return asm.Instructions{asm.Return()}
	}
	return asm.Instructions{
		asm.StoreMem(asm.R1, mark, asm.R0, asm.Word),
		asm.And.Imm(asm.R0, 1),
		asm.Return(),
	}
}

// State is a fresh state for a test.
func State(t testing.TB) *exec.State {
	t.Helper()
	s, err := exec.NewState(0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
