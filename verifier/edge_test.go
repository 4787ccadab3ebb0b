package verifier_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/edgegen"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
)

// edgePrograms is how many programs are compared: SKEP_EDGE, or enough for every
// day.
func edgePrograms(t *testing.T) int {
	n := 3000
	if s := os.Getenv("SKEP_EDGE"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatalf("SKEP_EDGE: %v", err)
		}
	}
	if testing.Short() {
		n = min(n, 300)
	}
	return n
}

// generated is one of the programs of a seed.
func generated(seed uint64, i int) *edgegen.Program {
	r := rand.New(rand.NewPCG(seed, uint64(i)))
	switch i % 6 {
	case 0:
		return edgegen.New(r)
	case 1:
		return edgegen.Numbers(r)
	case 2:
		return edgegen.Stack(r)
	case 3:
		return edgegen.Pointers(r)
	case 4:
		return edgegen.Loops(r)
	}
	return edgegen.Flow(r)
}

// image is the program as the verifier takes it, each function with a type.
func image(p *edgegen.Program) *program.Image {
	img := &program.Image{Name: "edge", Type: ebpf.SchedCLS, License: "GPL", Insns: p.Insns}
	fn := &btf.Func{Name: "f", Type: &btf.FuncProto{Return: &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}}}
	for _, at := range isa.Functions(p.Insns) {
		img.Funcs = append(img.Funcs, program.Function{Name: fn.Name, Start: at, Type: fn})
	}
	for _, m := range p.Maps {
		img.Maps = append(img.Maps, m.Name)
	}
	return img
}

func specs(p *edgegen.Program) map[string]*ebpf.MapSpec {
	specs := map[string]*ebpf.MapSpec{}
	for _, m := range p.Maps {
		specs[m.Name] = m
	}
	return specs
}

// minimise replaces instructions by jumps to the next while a property holds.
func minimise(p *edgegen.Program, holds func(*edgegen.Program) bool) *edgegen.Program {
	nop := isa.Instruction{Op: isa.ClassJMP | isa.JmpJA}
	small := &edgegen.Program{Insns: append([]isa.Instruction(nil), p.Insns...), Maps: p.Maps}
	for changed := true; changed; {
		changed = false
		for i := range small.Insns {
			if small.Insns[i] == nop || small.Insns[i].Op == 0 || small.Insns[i].IsWide() {
				continue
			}
			was := small.Insns[i]
			small.Insns[i] = nop
			if holds(small) {
				changed = true
			} else {
				small.Insns[i] = was
			}
		}
	}
	return small
}

// listing is the program without what was made empty.
func listing(p *edgegen.Program) string {
	var b strings.Builder
	for i, ins := range p.Insns {
		if ins == (isa.Instruction{Op: isa.ClassJMP | isa.JmpJA}) {
			continue
		}
		b.WriteString(strconv.Itoa(i) + ": " + ins.Text(0) + "\n")
	}
	for _, m := range p.Maps {
		b.WriteString(filepath.Join(m.Type.String(), m.Name) + " value " + strconv.Itoa(int(m.ValueSize)) + "\n")
	}
	return b.String()
}
