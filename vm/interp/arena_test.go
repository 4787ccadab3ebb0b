package interp

import (
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/maps"
)

// fakeArena is an array's value at an address of user space.
type fakeArena struct {
	maps.Map
	user uint64
}

// Info tells the verifier of an arena of one page.
func (a fakeArena) Info() *maps.Info {
	info := *a.Map.Info()
	info.Type, info.Flags, info.KeySize, info.ValueSize, info.MaxEntries = ebpf.Arena, maps.FlagMmapable, 0, 0, 1
	return &info
}

func (a fakeArena) UserBase() uint64 { return a.user }

func (a fakeArena) Allocated(offset, n uintptr) bool { return offset+n <= 64 }

func TestArena(t *testing.T) {
	const user = 0x7fff_8000_1000
	arena := fakeArena{array(t, 64), user}
	castKernel := isa.Instruction{Op: isa.ClassALU64 | isa.SrcX | isa.AluMOV, Dst: 2, Src: 1, Off: 1, Imm: 1}
	castUser := isa.Instruction{Op: isa.ClassALU64 | isa.SrcX | isa.AluMOV, Dst: 0, Src: 2, Off: 1, Imm: 1 << 16}
	exit := isa.Instruction{Op: isa.ClassJMP | isa.JmpEXIT}
	tests := map[string]struct {
		addr string
		then []isa.Instruction
		want uint64
	}{
		"there and back": {"0x7fff80001010", []isa.Instruction{castKernel, castUser, exit}, user + 16},
		"NULL":           {"0x7fff00000000", []isa.Instruction{castKernel, castUser, exit}, 0},
		"access": {"0x7fff80001010", []isa.Instruction{castKernel,
			{Op: isa.ClassST | isa.ModeMEM | isa.SizeDW, Dst: 2, Imm: 42},
			{Op: isa.ClassLDX | isa.ModeMEM | isa.SizeDW, Dst: 0, Src: 2}, exit}, 42},
		"atomic": {"0x7fff80001010", []isa.Instruction{castKernel,
			{Op: isa.ClassST | isa.ModeMEM | isa.SizeDW, Dst: 2, Imm: 40},
			{Op: isa.ClassALU64 | isa.AluMOV, Dst: 3, Imm: 2},
			{Op: isa.ClassSTX | isa.ModeATOMIC | isa.SizeDW, Dst: 2, Src: 3, Imm: isa.AtomicADD | isa.AtomicFetch},
			{Op: isa.ClassLDX | isa.ModeMEM | isa.SizeDW, Dst: 0, Src: 2},
			{Op: isa.ClassALU64 | isa.AluADD | isa.SrcX, Dst: 0, Src: 3}, exit}, 82},
		"atomic outside": {"0x7fff80001040", []isa.Instruction{castKernel,
			{Op: isa.ClassALU64 | isa.AluMOV, Dst: 0, Imm: 5},
			{Op: isa.ClassALU64 | isa.AluMOV, Dst: 3, Imm: 7},
			{Op: isa.ClassSTX | isa.ModeATOMIC | isa.SizeDW, Dst: 2, Src: 3, Imm: isa.AtomicXCHG},
			{Op: isa.ClassALU64 | isa.AluADD | isa.SrcX, Dst: 0, Src: 3},
			{Op: isa.ClassSTX | isa.ModeATOMIC | isa.SizeW, Dst: 2, Src: 0, Imm: isa.AtomicCMPXCHG}, exit}, 0},
		"the register stays": {"0x7fff80001000", []isa.Instruction{castKernel,
			{Op: isa.ClassALU64 | isa.AluMOV | isa.SrcX, Dst: 3, Src: 2},
			{Op: isa.ClassLDX | isa.ModeMEM | isa.SizeDW, Dst: 0, Src: 2, Off: 8},
			{Op: isa.ClassALU64 | isa.AluMOV | isa.SrcX, Dst: 0, Src: 2},
			{Op: isa.ClassALU64 | isa.AluXOR | isa.SrcX, Dst: 0, Src: 3}, exit}, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			insns := append(assemble(t, "lddw %r1, "+tt.addr), tt.then...)
			inBothModes(t, compile(t, &Input{Insns: insns, Maps: []maps.Map{arena}}), wantR0(tt.want))
		})
	}
	t.Run("an address like NULL", func(t *testing.T) {
		arena := fakeArena{array(t, 64), 0x7fff_0000_0000}
		insns := append(assemble(t, "lddw %r1, 0x7fff00000000"), castKernel,
			isa.Instruction{Op: isa.ClassST | isa.ModeMEM | isa.SizeDW, Dst: 2, Imm: 42},
			castKernel,
			isa.Instruction{Op: isa.ClassLDX | isa.ModeMEM | isa.SizeDW, Dst: 0, Src: 2}, exit)
		inBothModes(t, compile(t, &Input{Insns: insns, Maps: []maps.Map{arena}}), wantR0(42))
	})
	t.Run("outside", func(t *testing.T) { // Linux's loads give 0 there
		insns := append(assemble(t, "lddw %r1, 0x7fff80001040"), castKernel,
			isa.Instruction{Op: isa.ClassST | isa.ModeMEM | isa.SizeDW, Dst: 2, Imm: 42},
			isa.Instruction{Op: isa.ClassLDX | isa.ModeMEM | isa.SizeDW, Dst: 0, Src: 2}, exit)
		inBothModes(t, compile(t, &Input{Insns: insns, Maps: []maps.Map{arena}}), wantR0(0))
	})
}
