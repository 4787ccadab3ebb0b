package interp

import (
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/maps"
)

// jumpTable is an instruction array.
func jumpTable(t *testing.T, insns ...uint32) maps.Map {
	t.Helper()
	m := newMap(t, &ebpf.MapSpec{Type: maps.TypeInsnArray, KeySize: 4, ValueSize: 16, MaxEntries: uint32(len(insns))})
	for i, insn := range insns {
		key, value := []byte{byte(i), 0, 0, 0}, make([]byte, 16)
		value[0] = byte(insn)
		if err := m.UserUpdate(key, value, 0); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func wantError(t *testing.T, err error, words string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), words) {
		t.Errorf("error %v, want one with %q", err, words)
	}
}

func TestGotox(t *testing.T) {
	load := func(off int32) []isa.Instruction { // of an address in the table
		return []isa.Instruction{
			{Op: isa.ClassLD | isa.SizeDW, Dst: 1, Src: isa.PseudoMapValue}, {Imm: off},
			{Op: isa.ClassLDX | isa.ModeMEM | isa.SizeDW, Dst: 1, Src: 1},
			{Op: gotox, Dst: 1},
		}
	}
	ends := assemble(t, "mov %r0, 10\nexit\nmov %r0, 20\nexit") // at 4 and 6
	for off, want := range map[int32]uint64{0: 10, 8: 20} {
		p := compile(t, &Input{Insns: append(load(off), ends...), Maps: []maps.Map{jumpTable(t, 4, 6)}})
		inBothModes(t, p, wantR0(want))
	}
	t.Run("back, for ever", func(t *testing.T) {
		p := compile(t, &Input{Insns: load(0), Maps: []maps.Map{jumpTable(t, 0)}})
		inBothModes(t, p, func(t *testing.T, _ *exec.State, _ uint64, err error) { wantError(t, err, "budget") })
	})
	t.Run("a number", func(t *testing.T) {
		insns := append(assemble(t, "mov %r1, 1"), isa.Instruction{Op: gotox, Dst: 1})
		p := compile(t, &Input{Insns: insns, Maps: []maps.Map{jumpTable(t, 0)}})
		inBothModes(t, p, func(t *testing.T, _ *exec.State, _ uint64, err error) {
			wantError(t, err, "R1 is 0x1, which is not the address of an instruction in a jump table")
		})
	})
	t.Run("another function", func(t *testing.T) {
		insns := append(load(8),
			isa.Instruction{Op: isa.ClassJMP | isa.JmpCALL, Src: isa.CallLocal, Imm: 1},
			isa.Instruction{Op: isa.ClassJMP | isa.JmpEXIT})
		insns = append(insns, assemble(t, "mov %r0, 1\nexit")...) // at 6
		p := compile(t, &Input{Insns: insns, Maps: []maps.Map{jumpTable(t, 4, 6)}})
		inBothModes(t, p, func(t *testing.T, _ *exec.State, _ uint64, err error) {
			wantError(t, err, "R1 points to instruction 6, which is in another function")
		})
	})
}

func TestGotoxRefused(t *testing.T) {
	tests := map[string]struct {
		ins  isa.Instruction
		want string
	}{
		"src":      {isa.Instruction{Op: gotox, Dst: 1, Src: 1}, "does not use its field src"},
		"off":      {isa.Instruction{Op: gotox, Dst: 1, Off: 1}, "does not use its field off"},
		"imm":      {isa.Instruction{Op: gotox, Dst: 1, Imm: 1}, "does not use its field imm"},
		"no table": {isa.Instruction{Op: gotox, Dst: 1}, "refers to no instruction array"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Compile(&Input{Name: "test", Insns: []isa.Instruction{tt.ins}, Type: plain})
			wantError(t, err, tt.want)
		})
	}
}
