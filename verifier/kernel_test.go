package verifier_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/internal/edgegen"
	"github.com/skep-ebpf/skep/internal/kernelrun"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier"
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

// TestAgainstKernel holds the verdict on random programs at the edge of what is
// accepted against the running kernel's.
func TestAgainstKernel(t *testing.T) {
	testenv.Kernel(t)
	againstKernel(t, edgePrograms(t), &verifier.Options{Kernel: runningKernel(t)})
}

// againstKernel compares n programs.
func againstKernel(t *testing.T, n int, opts *verifier.Options) {
	seed := testenv.Seed(t)
	count := map[string]int{}
	for i := range n {
		p := generated(seed, i)
		o := compareWithKernel(t, p, opts)
		count[o]++
		switch o {
		case "same: accepted", "same: refused", "too costly", "unknown":
			continue
		}
		small := minimise(p, func(p *edgegen.Program) bool { return compareWithKernel(t, p, opts) == o })
		_, kernel := kernelSays(t, small, true)
		_, ours := verifier.CheckImage(image(small), specs(small), opts)
		t.Errorf("program %d of seed %d: %s\nskep: %v\nkernel: %v\n%s", i, seed, o, ours, lastWords(kernel), listing(small))
		if count[o] > 10 {
			t.FailNow()
		}
	}
	t.Log(count)
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

// runningKernel is the running kernel's version, as the tables name it.
func runningKernel(t *testing.T) string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	parts := strings.SplitN(unix.ByteSliceToString(u.Release[:]), ".", 3)
	return parts[0] + "." + parts[1]
}

func compareWithKernel(t *testing.T, p *edgegen.Program, opts *verifier.Options) string {
	limited := *opts
	limited.Budget = 50_000
	_, ours := verifier.CheckImage(image(p), specs(p), &limited)
	var refusal *verifier.Error
	if ours != nil && !errors.As(ours, &refusal) {
		return "failed: " + ours.Error()
	}
	if refusal != nil && refusal.Cause == verifier.CauseTooComplex {
		return "too costly"
	}
	if refusal != nil && refusal.Cause == verifier.CauseUnsupported {
		return "unknown"
	}
	accepted, _ := kernelSays(t, p, false)
	switch {
	case accepted && refusal == nil:
		return "same: accepted"
	case !accepted && refusal != nil:
		return "same: refused"
	case accepted:
		return "falsely refused"
	}
	return "falsely accepted"
}

// kernelSays gives the program to the running kernel.
func kernelSays(t testing.TB, p *edgegen.Program, withLog bool) (accepted bool, err error) {
	t.Helper()
	var maps []*kernelrun.Map
	for _, spec := range p.Maps {
		m, err := kernelrun.NewMap(spec)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		maps = append(maps, m)
	}
	for {
		prog, err := kernelrun.Load(ebpf.SchedCLS, p.Insns, maps, withLog)
		switch {
		case err == nil:
			return true, prog.Close()
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOMEM):
			continue
		}
		var rejected *kernelrun.Rejected
		if !errors.As(err, &rejected) {
			t.Fatal(err)
		}
		return false, err
	}
}

func image(p *edgegen.Program) *program.Image {
	img := &program.Image{Name: "edge", Type: ebpf.SchedCLS, License: "GPL", Insns: p.Insns}
	fn := &btf.Func{Name: "f", Type: &btf.FuncProto{Return: &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}}}
	for _, at := range functionsOf(p.Insns) {
		img.Funcs = append(img.Funcs, program.Function{Name: fn.Name, Start: at, Type: fn})
	}
	for _, m := range p.Maps {
		img.Maps = append(img.Maps, m.Name)
	}
	return img
}

// functionsOf gives where functions begin.
func functionsOf(insns []isa.Instruction) []int {
	starts := []int{0}
	for i := 0; i < len(insns); i++ {
		ins := insns[i]
		if ins.IsCall(isa.CallLocal) || ins.IsWide() && ins.Src == isa.PseudoFunc {
			starts = append(starts, i+1+int(ins.Imm))
		}
		if ins.IsWide() {
			i++
		}
	}
	slices.Sort(starts)
	return slices.Compact(starts)
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

// lastWords are the end of a kernel's log.
func lastWords(err error) string {
	var rejected *kernelrun.Rejected
	if !errors.As(err, &rejected) {
		return "accepted"
	}
	lines := strings.Split(strings.TrimSpace(rejected.Log), "\n")
	return strings.Join(lines[max(0, len(lines)-12):], "\n")
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
