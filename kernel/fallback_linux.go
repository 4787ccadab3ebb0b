package kernel

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/verifier/kernels"
)

// replacement is what a program is loaded as where the kernel does not attach it by the
// types of what it is attached to.
type replacement struct {
	typ  ebpf.ProgramType
	kind string // of hooks
	// offsets are where arguments lie in the context, by their number; nil: where they
	// were.
	offsets func(link program.LinkOptions, function string) (offsets map[int]int32, err error)
}

var replacements = map[string]*replacement{
	"fentry": {ebpf.Kprobe, "kprobe", argumentRegisters},
	"fexit":  {ebpf.Kprobe, "kretprobe", resultRegister},
	"tp_btf": {ebpf.RawTracepoint, "raw_tracepoint", nil},
}

// fallBack makes a program one of another type where the kernel lacks what it is loaded
// by, and reports whether it did.
func fallBack(spec *ebpf.CollectionSpec, name string, at hook.Point, link program.LinkOptions) (bool, error) {
	aimKprobe(spec.Programs[name], at)
	r, ok := replacements[at.Kind.Name]
	if !ok || at.Target == "" {
		return false, nil
	}
	why := untyped(at)
	if why == "" {
		return false, nil
	}
	if err := r.replace(spec, name, at, link); err != nil {
		// Not wrapped: the kernel does not refuse the program as it is.
		return false, fmt.Errorf("%s needs another hook, as this kernel %s, and a %s cannot take its place: %v", at, why, r.kind, err)
	}
	return true, nil
}

// replace makes the program one of the other type. That is possible where it takes its
// arguments as numbers: only a typed program may look through pointers itself.
func (r *replacement) replace(spec *ebpf.CollectionSpec, name string, at hook.Point, link program.LinkOptions) error {
	img, err := program.Link(spec, name, hostLink(link))
	if err != nil {
		return err
	}
	// A raw tracepoint has the same context, of numbers.
	img.Type, img.Attach, img.AttachTo = ebpf.RawTracepoint, 0, ""
	res, err := verifier.CheckImage(img, spec.Maps, &verifier.Options{Kernel: "host", KernelTypes: link.KernelTypes})
	var refusal *verifier.Error
	if errors.As(err, &refusal) && refusal.Cause == verifier.CauseNotPointer {
		return fmt.Errorf("it looks through a pointer itself (%w), which takes bpf_probe_read_kernel() there", err)
	}
	if err != nil {
		return err
	}
	p := spec.Programs[name]
	if r.offsets != nil {
		offsets, err := r.offsets(link, at.Target)
		if err == nil {
			err = moveArguments(p.Instructions, img, res.Facts, offsets)
		}
		if err != nil {
			return err
		}
	}
	p.Type, p.AttachType, p.AttachTo = r.typ, ebpf.AttachNone, ""
	return nil
}

// untyped says why the kernel does not attach by types to what a program is attached to; ""
// where it does, or says itself that there is no such thing.
func untyped(at hook.Point) string {
	unknown := "does not tell the types of " + at.Target
	types, err := runningTypes.Kernel()
	if at.Kind.Name == "tp_btf" {
		if err != nil {
			return unknown
		}
		return ""
	}
	var f *btf.Func
	if err == nil && types.TypeByName(at.Target, &f) == nil {
		if proto, ok := f.Type.(*btf.FuncProto); ok && !hasTrampoline(len(proto.Params)) {
			return "attaches no " + at.Kind.Name + " to " + at.Target
		}
		return ""
	}
	if module, found := moduleOf(at.Target); !found || module != "" {
		return ""
	}
	return unknown
}

// trampolines are since when processors' code can call programs from functions, and from
// those with more arguments than registers have.
var trampolines = map[string]struct {
	since     kernels.Version
	registers int
	more      kernels.Version
}{
	"amd64": {kernels.V(5, 5), 6, kernels.V(6, 6)},
	"arm64": {kernels.V(6, 0), 8, kernels.V(6, 16)},
}

// hasTrampoline reports whether the kernel attaches by types to functions with so many
// arguments.
func hasTrampoline(arguments int) bool {
	host, err := kernels.Host()
	t, known := trampolines[runtime.GOARCH]
	if err != nil || !known {
		return true
	}
	return host.Version() >= t.since && (arguments <= t.registers || host.Version() >= t.more)
}

// moduleOf looks for a function of the kernel, and gives the module that has it; "": the
// kernel itself.
func moduleOf(function string) (module string, found bool) {
	names, err := namesIn("/proc/kallsyms", func(line string) (string, bool) {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[2] != function {
			return "", false
		}
		return strings.Join(fields[3:], ""), true
	})
	if err != nil || len(names) == 0 {
		return "", false
	}
	return names[0], true
}

// Where a function's arguments and its result lie in struct pt_regs, in bytes.
var (
	argumentOffsets = map[string][]int32{"amd64": {112, 104, 96, 88, 72, 64}, "arm64": {0, 8, 16, 24, 32, 40, 48, 56}}
	resultOffset    = map[string]int32{"amd64": 80, "arm64": 0}
)

func argumentRegisters(program.LinkOptions, string) (map[int]int32, error) {
	offsets := make(map[int]int32)
	for i, offset := range argumentOffsets[runtime.GOARCH] {
		offsets[i] = offset
	}
	return offsets, nil
}

// resultRegister gives where the result lies, which is behind the last argument.
func resultRegister(link program.LinkOptions, function string) (map[int]int32, error) {
	types := link.KernelTypes
	if types == nil {
		types, _ = runningTypes.Kernel()
	}
	var f *btf.Func
	if types == nil || types.TypeByName(function, &f) != nil {
		return nil, errors.New("how many arguments stand before the result is not known: name a file of the kernel's types, with --btf")
	}
	offset, ok := resultOffset[runtime.GOARCH]
	proto, isProto := f.Type.(*btf.FuncProto)
	if !ok || !isProto {
		return nil, nil
	}
	return map[int]int32{len(proto.Params): offset}, nil
}

// moveArguments has a program load its arguments from where they are.
func moveArguments(insns asm.Instructions, img *program.Image, facts []verifier.Fact, offsets map[int]int32) error {
	for iter := insns.Iterate(); iter.Next(); {
		i := int(iter.Offset)
		fact := &facts[i]
		if !fact.Reached || fact.Access != verifier.PtrToCtx || img.Insns[i].Class() != isa.ClassLDX {
			continue
		}
		at := fact.Offset + int32(iter.Ins.Offset)
		to, ok := offsets[int(at/8)]
		if !ok || fact.Offset == verifier.VaryingOffset {
			return fmt.Errorf("%s loads argument %d of the context, and there is none of it", img.Where(i), at/8)
		}
		iter.Ins.Offset = int16(to + at%8 - fact.Offset)
	}
	return nil
}
