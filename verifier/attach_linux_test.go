package verifier_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/internal/kernelrun"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier"
)

// sleepable is BPF_F_SLEEPABLE.
const sleepable = 1 << 4

// attachKind is a way of attaching programs to something that the kernel's types name.
type attachKind struct {
	typ    ebpf.ProgramType
	attach ebpf.AttachType
	flags  uint32
	prefix string // of the names that are tried
	whole  bool   // programs name it with the prefix
	types  bool   // it takes typedefs, not functions
	share  int    // one of so many is tried
}

var attachKinds = []attachKind{
	{ebpf.Tracing, ebpf.AttachTraceFEntry, 0, "", true, false, 300},
	{ebpf.Tracing, ebpf.AttachTraceFExit, 0, "", true, false, 300},
	{ebpf.Tracing, ebpf.AttachModifyReturn, 0, "", true, false, 800},
	{ebpf.Tracing, ebpf.AttachModifyReturn, 0, "security_", true, false, 4},
	{ebpf.Tracing, ebpf.AttachTraceFEntry, sleepable, "__x64_sys_", true, false, 8},
	{ebpf.Tracing, ebpf.AttachTraceFEntry, sleepable, "", true, false, 800},
	{ebpf.LSM, ebpf.AttachLSMMac, 0, "bpf_lsm_", false, false, 2},
	{ebpf.LSM, ebpf.AttachLSMMac, sleepable, "bpf_lsm_", false, false, 2},
	{ebpf.LSM, ebpf.AttachLSMCgroup, 0, "bpf_lsm_", false, false, 4},
	{ebpf.Tracing, ebpf.AttachTraceIter, 0, "bpf_iter_", false, false, 1},
	{ebpf.Tracing, ebpf.AttachTraceIter, sleepable, "bpf_iter_", false, false, 2},
	{ebpf.Tracing, ebpf.AttachTraceRawTp, 0, "btf_trace_", false, true, 8},
	{ebpf.Tracing, ebpf.AttachTraceRawTp, sleepable, "btf_trace_", false, true, 40},
}

// TestAttachAgainstKernel loads programs that look at their first argument, for targets
// among the running kernel's types, and holds the verdict against the kernel's.
func TestAttachAgainstKernel(t *testing.T) {
	testenv.Kernel(t)
	types, err := btf.LoadKernelSpec()
	if err != nil {
		t.Skipf("the kernel tells no types: %v", err)
	}
	opts := &verifier.Options{Kernel: runningKernel(t), KernelTypes: types}
	seed := testenv.Seed(t)
	for _, k := range attachKinds {
		name := fmt.Sprintf("%s %s %s flags %#x", k.typ, k.attach, k.prefix, k.flags)
		t.Run(name, func(t *testing.T) {
			g := rand.New(rand.NewPCG(seed, uint64(k.attach)<<8|uint64(k.flags)))
			count := map[string]int{}
			for typ, err := range types.All() {
				if err != nil {
					t.Fatal(err)
				}
				target, ok := k.target(typ)
				if !ok || g.IntN(k.share) > 0 || ambiguous(types, typ) {
					continue
				}
				count[k.compare(t, types, typ, target, int16(8*g.IntN(4)), opts)]++
			}
			t.Log(count)
		})
	}
}

// target is what a program says to be attached to a type; false where it cannot be.
func (k *attachKind) target(typ btf.Type) (string, bool) {
	switch typ.(type) {
	case *btf.Func:
		if k.types {
			return "", false
		}
	case *btf.Typedef:
		if !k.types {
			return "", false
		}
	default:
		return "", false
	}
	name, ok := strings.CutPrefix(typ.TypeName(), k.prefix)
	if k.whole {
		name = typ.TypeName()
	}
	return name, ok
}

// ambiguous reports whether more than one type has a type's name: static functions in
// different files.
func ambiguous(types *btf.Spec, typ btf.Type) bool {
	all, err := types.AnyTypesByName(typ.TypeName())
	return err != nil || len(all) > 1
}

// compare loads a program that reads an argument and what it points to.
func (k *attachKind) compare(t *testing.T, types *btf.Spec, typ btf.Type, target string, arg int16, opts *verifier.Options) string {
	insns := []isa.Instruction{
		{Op: isa.ClassLDX | isa.ModeMEM | isa.SizeDW, Dst: isa.R2, Src: isa.R1, Off: arg},
		{Op: isa.ClassLDX | isa.ModeMEM | isa.SizeDW, Dst: isa.R3, Src: isa.R2, Off: 8},
		{Op: isa.ClassALU64 | isa.AluMOV, Dst: isa.R0},
		{Op: isa.ClassJMP | isa.JmpEXIT},
	}
	id, err := types.TypeID(typ)
	if err != nil {
		t.Fatal(err)
	}
	img := &program.Image{
		Name: "attach", Type: k.typ, Attach: k.attach, AttachTo: target, Flags: k.flags, License: "GPL", Insns: insns,
		Funcs: []program.Function{{Name: "attach"}}, KernelTypes: types,
	}
	_, ours := verifier.CheckImage(img, nil, opts)
	var refusal *verifier.Error
	if ours != nil && !errors.As(ours, &refusal) {
		t.Fatal(ours)
	}
	if refusal != nil && refusal.Cause == verifier.CauseUnsupported {
		return "unknown"
	}
	to := kernelrun.Target{Attach: k.attach, Type: id, Flags: k.flags}
	kernel := loadFor(t, k.typ, to, insns, nil, false)
	switch {
	case kernel == nil && refusal == nil:
		return "same: accepted"
	case kernel != nil && refusal != nil:
		return "same: refused"
	case kernel == nil:
		t.Errorf("%s, argument at %d: falsely refused: %v", typ.TypeName(), arg, ours)
		return "falsely refused"
	case errors.Is(kernel, unix.EPERM): // whatever the program does
		return "not permitted"
	case errors.Is(kernel, unix.ENOENT): // the function was inlined everywhere
		return "without address"
	}
	t.Errorf("%s, argument at %d: falsely accepted: %s", typ.TypeName(), arg, lastWords(loadFor(t, k.typ, to, insns, nil, true)))
	return "falsely accepted"
}

// loadFor gives a program to the running kernel; nil: it takes it.
func loadFor(
	t *testing.T, typ ebpf.ProgramType, to kernelrun.Target, insns []isa.Instruction, maps []*kernelrun.Map, log bool,
) error {
	t.Helper()
	for {
		prog, err := kernelrun.LoadFor(typ, to, insns, maps, log)
		switch {
		case err == nil:
			if err := prog.Close(); err != nil {
				t.Fatal(err)
			}
			return nil
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOMEM):
			continue
		}
		var rejected *kernelrun.Rejected
		if !errors.As(err, &rejected) {
			t.Fatal(err)
		}
		return err
	}
}
