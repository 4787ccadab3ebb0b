package verifier_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/kernelrun"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/vm/maps"
)

// formatSize is the size of the map that holds a format.
const formatSize = 32

// formatParts are what random formats are made of.
var formatParts = []string{
	"%", "%%", "%d", "%i", "%u", "%x", "%X", "%c", "%s", "%p", "%l", "ld", "lld", "llu", "lllx", "%5d", "%-8s", "%05x", "%+d",
	"% d", "%0", "%pK", "%px", "%ps", "%pS", "%pB", "%pks", "%pus", "%pi4", "%pI6", "%pi5", "%pk", "%h", "%n", "%f", "%123456d",
	" ", "a", ",", "\n", "\t", "\x01", "\x7f", "\xc3\xa9", "\x85", "\xa0", "\xb5", "\xd7", "\xff", "0", "-", ".",
}

// TestFormatsAgainstKernel holds which formats bpf_snprintf takes against the running
// kernel.
func TestFormatsAgainstKernel(t *testing.T) {
	testenv.Kernel(t)
	opts := &verifier.Options{Kernel: runningKernel(t)}
	g := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	count := map[string]int{}
	for range max(edgePrograms(t)/10, 30) {
		var format strings.Builder
		for range g.IntN(4) + 1 {
			format.WriteString(formatParts[g.IntN(len(formatParts))])
		}
		text, args := format.String(), g.IntN(4)
		if len(text) >= formatSize {
			continue
		}
		insns := snprintf(args)
		ours := checkFormat(t, text, insns, opts)
		kernel := loadFormat(t, text, insns)
		switch {
		case ours == nil && kernel:
			count["same: accepted"]++
		case ours != nil && !kernel:
			count["same: refused"]++
		default:
			t.Errorf("%q with %d arguments: the kernel takes it: %v; skep says: %v", text, args, kernel, ours)
		}
	}
	t.Log(count)
}

// snprintf is a program that calls bpf_snprintf with the format in its only map.
func snprintf(args int) []isa.Instruction {
	reg := func(dst, src uint8) isa.Instruction {
		return isa.Instruction{Op: isa.ClassALU64 | isa.AluMOV | isa.SrcX, Dst: dst, Src: src}
	}
	imm := func(op, dst uint8, n int) isa.Instruction {
		return isa.Instruction{Op: isa.ClassALU64 | op, Dst: dst, Imm: int32(n)}
	}
	var insns []isa.Instruction
	for off := -64; off < 0; off += 8 {
		insns = append(insns, isa.Instruction{Op: isa.ClassST | isa.ModeMEM | isa.SizeDW, Dst: isa.R10, Off: int16(off)})
	}
	return append(insns,
		reg(isa.R1, isa.R10), imm(isa.AluADD, isa.R1, -64), imm(isa.AluMOV, isa.R2, 32),
		isa.Instruction{Op: isa.OpLDDW, Dst: isa.R3, Src: isa.PseudoMapValue}, isa.Instruction{},
		reg(isa.R4, isa.R10), imm(isa.AluADD, isa.R4, -32), imm(isa.AluMOV, isa.R5, 8*args),
		isa.Instruction{Op: isa.ClassJMP | isa.JmpCALL, Imm: 165},
		imm(isa.AluMOV, isa.R0, 0), isa.Instruction{Op: isa.ClassJMP | isa.JmpEXIT},
	)
}

func formatMap(text string) *ebpf.MapSpec {
	value := make([]byte, formatSize)
	copy(value, text)
	return &ebpf.MapSpec{
		Name: ".rodata", Type: ebpf.Array, KeySize: 4, ValueSize: formatSize, MaxEntries: 1, Flags: maps.FlagRdonlyProg,
		Contents: []ebpf.MapKV{{Key: uint32(0), Value: value}},
	}
}

func checkFormat(t *testing.T, text string, insns []isa.Instruction, opts *verifier.Options) error {
	t.Helper()
	img := &program.Image{
		Name: "format", Type: ebpf.Kprobe, License: "GPL", Insns: insns, Funcs: []program.Function{{Name: "format"}},
		Maps: []string{".rodata"},
	}
	_, err := verifier.CheckImage(img, map[string]*ebpf.MapSpec{".rodata": formatMap(text)}, opts)
	return err
}

func loadFormat(t *testing.T, text string, insns []isa.Instruction) bool {
	t.Helper()
	spec := formatMap(text)
	spec.Name = "format"
	m, err := kernelrun.NewMap(spec)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	value, _ := spec.Contents[0].Value.([]byte)
	if err := m.UserUpdate(make([]byte, 4), value, 0); err != nil {
		t.Fatal(err)
	}
	if err := m.Freeze(); err != nil {
		t.Fatal(err)
	}
	return loadFor(t, ebpf.Kprobe, kernelrun.Target{}, insns, []*kernelrun.Map{m}, false) == nil
}
