package verifier

import (
	"errors"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier/kernels"
)

// Instructions of tests.
var (
	insExit = isa.Instruction{Op: isa.ClassJMP | isa.JmpEXIT}
	insZero = isa.Instruction{Op: isa.ClassALU64 | isa.AluMOV}
)

func insJump(off int16) isa.Instruction {
	return isa.Instruction{Op: isa.ClassJMP | isa.JmpJA, Off: off}
}

func insIf(dst uint8, off int16) isa.Instruction {
	return isa.Instruction{Op: isa.ClassJMP | isa.JmpJEQ, Dst: dst, Off: off}
}

func insCall(distance int32) isa.Instruction {
	return isa.Instruction{Op: isa.ClassJMP | isa.JmpCALL, Src: isa.CallLocal, Imm: distance}
}

func insStore(off int16) isa.Instruction {
	return isa.Instruction{Op: isa.ClassST | isa.ModeMEM | isa.SizeDW, Dst: isa.R10, Off: off}
}

func insLoad(dst, src uint8, off int16) isa.Instruction {
	return isa.Instruction{Op: isa.ClassLDX | isa.ModeMEM | isa.SizeDW, Dst: dst, Src: src, Off: off}
}

// structureOf runs the passes before the walk.
func structureOf(t *testing.T, lacks kernels.Caps, insns ...isa.Instruction) (*checker, error) {
	t.Helper()
	c, err := newChecker(&program.Image{Name: "test", Type: ebpf.SocketFilter, License: "GPL", Insns: insns}, nil, &Options{Lacks: lacks})
	if err != nil {
		t.Fatal(err)
	}
	return c, c.structure()
}

func TestStructure(t *testing.T) {
	wide := isa.Instruction{Op: isa.OpLDDW}
	for _, tc := range []struct {
		name  string
		insns []isa.Instruction
		lacks kernels.Caps
		want  string
	}{
		{name: "straight", insns: []isa.Instruction{insZero, insExit}},
		{name: "no exit", insns: []isa.Instruction{insZero}, want: "last insn is not an exit or jmp"},
		{name: "out of range", insns: []isa.Instruction{insJump(5), insExit}, want: "jump out of range from insn 0 to 6"},
		{name: "into another function", insns: []isa.Instruction{insCall(1), insJump(1), insZero, insExit}, want: "jump out of range from insn 1 to 3"},
		{name: "unreachable", insns: []isa.Instruction{insJump(1), insZero, insExit}, want: "unreachable insn 1"},
		{name: "loop", insns: []isa.Instruction{insZero, insIf(0, -1), insExit}},
		{name: "loop of a loader without CAP_BPF", insns: []isa.Instruction{insZero, insIf(0, -1), insExit}, lacks: kernels.CapBPF, want: "back-edge from insn 1 to 1"},
		{name: "call of a loader without CAP_BPF", insns: []isa.Instruction{insCall(1), insExit, insZero, insExit}, lacks: kernels.CapBPF,
			want: "loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN"},
		{name: "recursion", insns: []isa.Instruction{insCall(1), insExit, insCall(-1), insExit}, want: "recursive call from () to ()"},
		{name: "call of nothing", insns: []isa.Instruction{insCall(7), insExit}, want: "call to invalid destination"},
		{name: "into a wide load", insns: []isa.Instruction{insIf(0, 1), wide, {}, insExit}, want: "jump into the middle of ldimm64 insn 1"},
		{name: "half a wide load", insns: []isa.Instruction{insJump(0), wide, insExit}, want: "invalid bpf_ld_imm64 insn"},
		{name: "no such register", insns: []isa.Instruction{{Op: insZero.Op, Dst: 11}, insExit}, want: "R11 is invalid"},
		{name: "no such opcode", insns: []isa.Instruction{{Op: 0xff}, insExit}, want: "unknown opcode ff"},
		{name: "reserved", insns: []isa.Instruction{{Op: insZero.Op, Off: 1}, insExit}, want: "BPF_MOV uses reserved fields"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := structureOf(t, tc.lacks, tc.insns...)
			var got string
			var refusal *Error
			switch {
			case errors.As(err, &refusal):
				got = refusal.Kernel
			case err != nil:
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestLoops(t *testing.T) {
	c, err := structureOf(t, 0, insZero, insZero, insIf(0, -2), insZero, insExit)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{false, true, true, false, false} {
		if got := c.aux[i].loop != 0; got != want {
			t.Errorf("instruction %d: in a loop %v, want %v", i, got, want)
		}
	}
}

// TestConstantBranch shows that what a constant comparison does not lead to counts
// neither as read nor as a way.
func TestConstantBranch(t *testing.T) {
	c, err := structureOf(t, 0,
		insZero,
		insIf(isa.R0, 1),
		isa.Instruction{Op: isa.ClassALU64 | isa.AluMOV | isa.SrcX, Src: isa.R6},
		insExit)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.aux[0].liveRegs; got != 0 {
		t.Errorf("registers %#x are read from the beginning on, want none", got)
	}
}

func TestStackUse(t *testing.T) {
	const slot8, slot16 = 0b11, 0b1100
	fp := isa.Instruction{Op: isa.ClassALU64 | isa.AluMOV | isa.SrcX, Dst: isa.R1, Src: isa.R10}
	add := isa.Instruction{Op: isa.ClassALU64 | isa.AluADD, Dst: isa.R1, Imm: -16}
	for _, tc := range []struct {
		name  string
		insns []isa.Instruction
		want  []uint64 // the main program's live slots before its instructions
	}{
		{
			"stored and loaded",
			[]isa.Instruction{insStore(-8), insStore(-16), insLoad(0, isa.R10, -16), insExit},
			[]uint64{0, 0, slot16, 0},
		},
		{
			"loaded through a copy",
			[]isa.Instruction{insStore(-16), fp, add, insLoad(0, isa.R1, 8), insExit},
			[]uint64{slot8, slot8, slot8, slot8, 0},
		},
		{
			"loaded by a callee",
			[]isa.Instruction{insStore(-8), insStore(-16), fp, insCall(1), insExit, insLoad(0, isa.R1, -8), insExit},
			[]uint64{0, slot8, slot8, slot8, 0},
		},
		{
			"loaded in a loop",
			[]isa.Instruction{insStore(-8), insLoad(0, isa.R10, -8), insIf(0, -2), insExit},
			[]uint64{0, slot8, slot8, 0},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := structureOf(t, 0, tc.insns...)
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range tc.want {
				if got := c.liveSlots(&state{frames: []*frame{{callsite: -1}}, insn: i}, 0); got != (halves{want}) {
					t.Errorf("before instruction %d: %#x, want %#x", i, got, want)
				}
			}
		})
	}
}
