package verifier_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/internal/verifiersuite"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/vm/maps"
)

// TestMutantsAgainstKernel changes Linux's own tests a little, at random, and holds the
// verdict against the running kernel's. What the kernel refuses must be refused;
// kernels also accept what later ones were mended to refuse, which is only counted.
func TestMutantsAgainstKernel(t *testing.T) {
	testenv.Kernel(t)
	types, err := btf.LoadKernelSpec()
	if err != nil {
		t.Skip(err)
	}
	suite := verifiersuite.Read(t, "7.2")
	r := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	m := &mutants{types: types, opts: &verifier.Options{Kernel: runningKernel(t), KernelTypes: types, Budget: 5000}}
	count := map[string]int{}
	for range edgePrograms(t) / 30 {
		c := suite.Cases[r.IntN(len(suite.Cases))]
		p, err := c.Program()
		if err != nil || p.Spec.Programs[c.Func] == nil {
			continue // an object that only libbpf reads
		}
		insns := p.Spec.Programs[c.Func].Instructions
		if o, _, _ := m.judge(p.Spec, c.Func, insns); !strings.HasPrefix(o, "same") {
			count["unlike as it is: "+o]++
			continue
		}
		changed := append(asm.Instructions(nil), insns...)
		what := mutate(r, changed)
		if what == "" {
			continue
		}
		o, _, kernel := m.judge(p.Spec, c.Func, changed)
		count[o]++
		if o == "falsely accepted" {
			t.Errorf("%s with %s: the kernel refuses it: %v", c.Name(), what, kernel)
		}
	}
	t.Log(count)
}

type mutants struct {
	types *btf.Spec
	opts  *verifier.Options
}

// judge asks skep and the kernel about a program of a spec with other instructions.
func (m *mutants) judge(spec *ebpf.CollectionSpec, name string, insns asm.Instructions) (outcome string, ours, kernel error) {
	changed := *spec.Programs[name]
	changed.Instructions = insns
	one := *spec
	one.Programs = map[string]*ebpf.ProgramSpec{name: &changed}
	one.Maps = map[string]*ebpf.MapSpec{}
	for _, ins := range insns {
		if ins.IsLoadFromMap() && spec.Maps[ins.Reference()] != nil {
			one.Maps[ins.Reference()] = spec.Maps[ins.Reference()]
		}
	}
	for _, m := range one.Maps { // whose types cilium/ebpf does not load as programs'
		if f, err := maps.FieldsOf(m.Value, maps.ValueFields); err != nil || f.Has(maps.FieldListHead|maps.FieldRBRoot) {
			return "not loaded", err, nil
		}
	}
	img, err := program.Link(&one, name, &program.LinkOptions{KernelTypes: m.types, HasKfunc: func(fn string) bool {
		var f *btf.Func
		return m.types.TypeByName(fn, &f) == nil
	}})
	if err != nil {
		return "not linked", err, nil
	}
	_, ours = verifier.CheckImage(img, spec.Maps, m.opts)
	var refusal *verifier.Error
	if ours != nil && (!errors.As(ours, &refusal) || refusal.Cause == verifier.CauseUnsupported || refusal.Cause == verifier.CauseTooComplex) {
		return "unknown", ours, nil
	}
	coll, kernel := ebpf.NewCollectionWithOptions(one.Copy(), ebpf.CollectionOptions{
		Programs: ebpf.ProgramOptions{LogSizeStart: 1 << 20},
	})
	if kernel == nil {
		coll.Close()
	}
	switch {
	case kernel != nil && !refusedByVerifier(kernel):
		return "not loaded", ours, kernel
	case (kernel == nil) == (ours == nil):
		return fmt.Sprintf("same: accepted %v", ours == nil), ours, kernel
	case kernel == nil:
		return "falsely refused", ours, kernel
	}
	return "falsely accepted", ours, kernel
}

// refusedByVerifier tells a verdict from what keeps programs or their types from being
// looked at.
func refusedByVerifier(err error) bool {
	var v *ebpf.VerifierError
	if !errors.As(err, &v) || len(v.Log) == 0 {
		return false
	}
	last := v.Log[len(v.Log)-1]
	return !strings.HasPrefix(last, "[") && !strings.Contains(last, "bits_offset=")
}

// mutate changes one instruction, and says how; "" where it found none to change.
func mutate(r *rand.Rand, insns asm.Instructions) string {
	for range 100 {
		i := r.IntN(len(insns))
		ins := &insns[i]
		was := fmt.Sprint(*ins)
		class := ins.OpCode.Class()
		call := class == asm.JumpClass && ins.OpCode.JumpOp() == asm.Call
		memory := class.IsLoad() || class.IsStore()
		switch how := r.IntN(5); {
		case ins.OpCode.IsDWordLoad() || class.IsJump() && ins.OpCode.JumpOp() == asm.Exit:
			continue
		case how < 2:
			*ins = asm.Instruction{OpCode: asm.OpCode(asm.JumpClass).SetJumpOp(asm.Ja), Metadata: ins.Metadata}
		case how == 2 && !call && (!memory || class == asm.StClass):
			ins.Constant += []int64{1, -1, 8, -8, 4}[r.IntN(5)]
		case how == 3 && memory:
			ins.Offset += []int16{1, -8, 8, -4, 4}[r.IntN(5)]
		case how == 4 && !call && r.IntN(2) == 0:
			ins.Dst = asm.Register(r.IntN(10))
		case how == 4 && !call && class != asm.StClass && (memory || ins.OpCode.Source() == asm.RegSource):
			ins.Src = asm.Register(r.IntN(10))
		default:
			continue
		}
		return fmt.Sprintf("%d: %s -> %v", i, was, *ins)
	}
	return ""
}
