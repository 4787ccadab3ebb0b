package verifier

import (
	"fmt"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/maps"
)

// refuted says which fact a run refutes that is about to execute an instruction, last
// after another of the same program (-1: none); "" where it refutes none.
func (w *Walk) refuted(last int, s RunStep) string {
	if w.facts == nil {
		w.facts = w.c.facts()
	}
	f, ins := &w.facts[s.Insn], &w.c.insns[s.Insn]
	if !f.Reached {
		return "no path should reach it"
	}
	if last >= 0 && isCondition(w.c.insns[last]) {
		before, next := &w.facts[last], last+1
		target := next + int(w.c.insns[last].Off)
		if !(before.Passes && s.Insn == next || before.Jumps && s.Insn == target) {
			return fmt.Sprintf("instruction %d should not lead there", last)
		}
	}
	if reg, ok := addressOf(ins); ok {
		v, from := s.Reg(s.Depth, reg)
		switch {
		case !leadsTo(from.Region(), f.Access):
			return fmt.Sprintf("the access should be through %s, not %#x", typeName(f.Access, f.Flags), uint64(from))
		case !isOf(from.Region(), f.Memory):
			return fmt.Sprintf("the access should be one of memory of kind %d, not through %#x", f.Memory, uint64(from))
		case f.Memory == MemContext && f.Offset != VaryingOffset && v-uint64(s.State.Ctx()) != uint64(f.Offset):
			return fmt.Sprintf("the access should be through the context's start plus %d", f.Offset)
		}
	}
	if !ins.IsCall(isa.CallHelper) || f.Map < 0 {
		return ""
	}
	for reg := isa.R1; reg <= isa.R5; reg++ {
		_, from := s.Reg(s.Depth, uint8(reg))
		if h := maps.Handle(from.Elem()); from.Region() == exec.RegionMap && maps.Get(h).Info().Name == w.c.maps[f.Map].Name {
			return ""
		}
	}
	return fmt.Sprintf("the call should be of map %s", w.c.maps[f.Map].Name)
}

// addressOf is the register that a load or store has its address from.
func addressOf(ins *isa.Instruction) (reg uint8, ok bool) {
	switch {
	case ins.Class() == isa.ClassLDX, ins.Class() == isa.ClassSTX && ins.Op&0xe0 == isa.ModeATOMIC && ins.Imm == isa.AtomicLoadAcq:
		return ins.Src, true
	case ins.Class() == isa.ClassST, ins.Class() == isa.ClassSTX:
		return ins.Dst, true
	}
	return 0, false
}

// leadsTo reports whether a region is what pointers of a type lead to, as far as that
// is told.
func leadsTo(region exec.RegionID, t RegType) bool {
	switch t {
	case PtrToCtx:
		return region == exec.RegionCtx
	case PtrToPacket:
		return region == exec.RegionPacket
	case PtrToPacketMeta:
		return region == exec.RegionMeta
	case PtrToMapValue:
		return region.Handle() != 0
	case PtrToStack:
		return region >= exec.RegionStack && region.Handle() == 0
	}
	return true
}

// isOf reports whether a region is memory of a kind.
func isOf(region exec.RegionID, m Memory) bool {
	switch m {
	case MemNone:
		return false
	case MemPlain:
		switch region {
		case exec.RegionNone, exec.RegionCtx, exec.RegionMap, exec.RegionBTF, exec.RegionFunc:
			return false
		}
	case MemContext:
		return region == exec.RegionCtx
	case MemMap:
		return region == exec.RegionMap
	}
	return true
}

// TestFactAccess: an instruction that may load through different pointers is told of
// none.
func TestFactAccess(t *testing.T) {
	insns := []isa.Instruction{
		{Op: isa.ClassST | isa.ModeMEM | isa.SizeDW, Dst: isa.R10, Off: -8},
		{Op: isa.ClassALU64 | isa.AluMOV | isa.SrcX, Dst: isa.R2, Src: isa.R10},
		{Op: isa.ClassALU64 | isa.AluADD, Dst: isa.R2, Imm: -8},
		{Op: isa.ClassLDX | isa.ModeMEM | isa.SizeW, Dst: isa.R1, Src: isa.R1, Off: 8}, // mark
		{Op: isa.ClassJMP | isa.JmpJEQ, Dst: isa.R1, Off: 2},
		{Op: isa.OpLDDW, Dst: isa.R2, Src: isa.PseudoMapValue},
		{},
		{Op: isa.ClassLDX | isa.ModeMEM | isa.SizeB, Dst: isa.R0, Src: isa.R2},
		{Op: isa.ClassALU64 | isa.AluMOV, Dst: isa.R0},
		{Op: isa.ClassJMP | isa.JmpEXIT},
	}
	img := &program.Image{Name: "f", Type: ebpf.SchedCLS, License: "GPL", Insns: insns, Maps: []string{"m"}}
	img.Funcs = []program.Function{{Name: "f"}}
	m := &ebpf.MapSpec{Name: "m", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1}
	result, err := CheckImage(img, map[string]*ebpf.MapSpec{"m": m}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for insn, want := range map[int]RegType{0: PtrToStack, 3: PtrToCtx, 7: NotInit} {
		if got := result.Facts[insn].Access; got != want {
			t.Errorf("instruction %d goes through %s, not %s", insn, typeName(got, 0), typeName(want, 0))
		}
	}
}

// TestFactUninit: functions are told of the words of their frames that may be read as
// they are, also by others.
func TestFactUninit(t *testing.T) {
	insns := []isa.Instruction{
		{Op: isa.ClassALU64 | isa.AluMOV | isa.SrcX, Dst: isa.R1, Src: isa.R10},
		{Op: isa.ClassSTX | isa.ModeMEM | isa.SizeDW, Dst: isa.R10, Src: isa.R10, Off: -16},
		{Op: isa.ClassJMP | isa.JmpCALL, Src: isa.CallLocal, Imm: 1},
		{Op: isa.ClassJMP | isa.JmpEXIT},
		{Op: isa.ClassLDX | isa.ModeMEM | isa.SizeDW, Dst: isa.R0, Src: isa.R1, Off: -8},
		{Op: isa.ClassLDX | isa.ModeMEM | isa.SizeB, Dst: isa.R0, Src: isa.R10, Off: -17},
		{Op: isa.ClassJMP | isa.JmpEXIT},
	}
	img := &program.Image{Name: "f", Type: ebpf.SchedCLS, License: "GPL", Insns: insns}
	img.Funcs = []program.Function{{Name: "f"}, {Name: "g", Start: 4}}
	result, err := CheckImage(img, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for insn, want := range map[int]uint64{0: 1 << 0, 4: 1 << 2} {
		if got := result.Facts[insn].Uninit; got != want {
			t.Errorf("of the function at instruction %d words %#x may be read, not %#x", insn, got, want)
		}
	}
}

// TestFactMemory: what is said of an access holds whichever call leads to it, and in
// functions that are verified by their types or called back.
func TestFactMemory(t *testing.T) {
	var (
		number = &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
		mov    = func(dst, src uint8) isa.Instruction {
			return isa.Instruction{Op: isa.ClassALU64 | isa.AluMOV | isa.SrcX, Dst: dst, Src: src}
		}
		set = func(dst uint8, imm int32) isa.Instruction {
			return isa.Instruction{Op: isa.ClassALU64 | isa.AluMOV, Dst: dst, Imm: imm}
		}
		add = func(dst uint8, imm int32) isa.Instruction {
			return isa.Instruction{Op: isa.ClassALU64 | isa.AluADD, Dst: dst, Imm: imm}
		}
		load = func(dst, src uint8, off int16) isa.Instruction {
			return isa.Instruction{Op: isa.ClassLDX | isa.ModeMEM | isa.SizeW, Dst: dst, Src: src, Off: off}
		}
		call = func(imm int32) isa.Instruction {
			return isa.Instruction{Op: isa.ClassJMP | isa.JmpCALL, Src: isa.CallLocal, Imm: imm}
		}
		helper  = func(id int32) isa.Instruction { return isa.Instruction{Op: isa.ClassJMP | isa.JmpCALL, Imm: id} }
		exit    = isa.Instruction{Op: isa.ClassJMP | isa.JmpEXIT}
		onStack = []isa.Instruction{{Op: isa.ClassST | isa.ModeMEM | isa.SizeDW, Dst: isa.R10, Off: -8}, mov(isa.R1, isa.R10), add(isa.R1, -8)}
		value   = []isa.Instruction{{Op: isa.OpLDDW, Dst: isa.R1, Src: isa.PseudoMapValue}, {}}
	)
	for _, tt := range []struct {
		name   string
		insns  []isa.Instruction
		second int // where the second function begins, whose first load is looked at
		tag    string
		global bool
		want   Fact
	}{
		{"through the stack or a map's value", slices.Concat(onStack, []isa.Instruction{call(4)}, value, []isa.Instruction{call(1), exit, load(isa.R0, isa.R1, 0), exit}),
			8, "", false, Fact{Memory: MemPlain}},
		{"the context", []isa.Instruction{call(1), exit, load(isa.R0, isa.R1, 8), exit},
			2, "", false, Fact{Memory: MemContext, Access: PtrToCtx}},
		{"a global function's memory", slices.Concat(onStack, []isa.Instruction{call(1), exit, load(isa.R0, isa.R1, 0), exit}),
			5, "arg:nonnull", true, Fact{Memory: MemPlain, Access: PtrToMem}},
		{"a global function's untrusted memory", slices.Concat(onStack, []isa.Instruction{call(1), exit, load(isa.R0, isa.R1, 0), exit}),
			5, "arg:untrusted", true, Fact{Memory: MemKernel, Access: PtrToMem, Flags: Readonly | Untrusted}},
		{"a callback's context", slices.Concat(onStack, []isa.Instruction{mov(isa.R3, isa.R1), set(isa.R1, 5), {Op: isa.OpLDDW, Dst: isa.R2, Src: isa.PseudoFunc, Imm: 5}, {},
			set(isa.R4, 0), helper(181), set(isa.R0, 0), exit, load(isa.R0, isa.R2, 0), set(isa.R0, 0), exit}),
			11, "", false, Fact{Memory: MemPlain, Access: PtrToStack}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			img := &program.Image{Name: "f", Type: ebpf.SchedCLS, License: "GPL", Insns: tt.insns, Maps: []string{"m"}}
			fn := &btf.Func{Name: "g", Type: &btf.FuncProto{Return: number, Params: []btf.FuncParam{{Name: "p", Type: &btf.Pointer{Target: number}}}}}
			if tt.global {
				fn.Linkage, fn.ParamTags = btf.GlobalFunc, [][]string{{tt.tag}}
			}
			img.Funcs = []program.Function{{Name: "f", Type: &btf.Func{Name: "f", Type: &btf.FuncProto{Return: number}}}, {Name: "g", Start: tt.second, Type: fn}}
			m := &ebpf.MapSpec{Name: "m", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1}
			result, err := CheckImage(img, map[string]*ebpf.MapSpec{"m": m}, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := result.Facts[tt.second]
			if !got.Reached || got.Memory != tt.want.Memory || got.Access != tt.want.Access || got.Flags != tt.want.Flags || got.Offset != 0 {
				t.Errorf("%+v", got)
			}
		})
	}
}
