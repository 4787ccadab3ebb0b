package program

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/suggest"
	"github.com/skep-ebpf/skep/isa"
)

// maxInsns is the kernel's limit for one program (BPF_COMPLEXITY_LIMIT_INSNS).
const maxInsns = 1_000_000

// LinkOptions says what a program is linked against. The zero value is the
// running system as far as there is one.
type LinkOptions struct {
	// KernelTypes are the types that CO-RE relocations aim at. Nil: the running
	// kernel's with its modules', and where it has none the program's own.
	KernelTypes *btf.Spec
	// NoHostTypes makes nil KernelTypes mean the program's own types, with which
	// everything is where the compiler saw it.
	NoHostTypes bool
	// KernelVersion is LINUX_KERNEL_VERSION, as KERNEL_VERSION(a, b, c) in C.
	// 0: the running kernel's, and elsewhere than on Linux 6.12's.
	KernelVersion uint32
	// Kconfig gives .kconfig variables by name ("CONFIG_HZ": "250"), in the form
	// that a kernel's .config has. Nil: the running kernel's configuration.
	Kconfig map[string]string
	// Ksym gives the address of a kernel variable. Nil: there are none.
	Ksym func(name string) (addr uint64, ok bool)
	// HasKfunc reports whether the machine has a kernel function. It decides about
	// weak externs only: what a program calls without asking is in
	// [Image].Kfuncs for the machine to judge. Nil: it has none.
	HasKfunc func(name string) bool
	// WhyNoKfunc says in a clause why the machine does not have a kernel function, "needs
	// ..", for the error of a program that calls it; "": nothing more is known. Optional.
	WhyNoKfunc func(name string) string
}

// Link makes a program of a spec ready for a machine. The spec may come from
// [Open], from cilium/ebpf, or be built by hand; only [Open] tells what externs
// stand for. It is not changed. The error is one sentence.
func Link(spec *ebpf.CollectionSpec, prog string, opts *LinkOptions) (*Image, error) {
	p, ok := spec.Programs[prog]
	if !ok {
		return nil, noProgram(spec, prog)
	}
	if opts == nil {
		opts = &LinkOptions{}
	}
	l := &linker{spec: spec, prog: p, opts: opts, insns: slices.Clone(p.Instructions)}
	img, err := l.link(prog)
	if err != nil {
		return nil, fmt.Errorf("link program %s (section %s): %w", prog, p.SectionName, sentence(err))
	}
	return img, nil
}

// noProgram says that a spec does not have a program.
func noProgram(spec *ebpf.CollectionSpec, name string) error {
	if len(spec.Programs) == 0 {
		return errors.New(`the object has no programs: a function becomes one by SEC("xdp") or another section's name`)
	}
	return fmt.Errorf("there is no program %s%s", name, suggest.Name(name, slices.Collect(maps.Keys(spec.Programs))))
}

// linker is the state of one Link.
type linker struct {
	spec   *ebpf.CollectionSpec
	prog   *ebpf.ProgramSpec
	opts   *LinkOptions
	insns  asm.Instructions
	starts map[string]int // slot of each symbol
	img    *Image
}

func (l *linker) link(name string) (*Image, error) {
	switch size := l.insns.Size() / isa.Size; {
	case size == 0:
		return nil, errors.New("it has no instructions")
	case size > maxInsns:
		return nil, fmt.Errorf("it has %d instructions, and Linux takes %d", size, maxInsns)
	}
	l.img = &Image{
		Name:     name,
		Type:     l.prog.Type,
		Attach:   l.prog.AttachType,
		AttachTo: l.prog.AttachTo,
		Section:  l.prog.SectionName,
		License:  l.prog.License,
		Flags:    l.prog.Flags,
		Kfuncs:   make(map[int]*btf.Func),
		Types:    l.spec.Types,
		Poisoned: make(map[int]string),
		Data:     make(map[string]*ebpf.MapSpec),
	}
	if err := l.findSymbols(); err != nil {
		return nil, err
	}
	if name := exceptionCallback(l.img.Funcs[0].Type); name != "" {
		at, ok := l.starts[name]
		if !ok {
			return nil, fmt.Errorf("it names the exception callback %s, which the object does not have", name)
		}
		l.img.Exception = at
	}
	if err := l.relocateTypes(); err != nil {
		return nil, err
	}
	for iter := l.insns.Iterate(); iter.Next(); {
		if err := l.resolve(iter.Ins, int(iter.Offset)); err != nil {
			return nil, fmt.Errorf("%s: %w", l.at(iter), err)
		}
		var err error
		if l.img.Insns, err = encode(l.img.Insns, iter.Ins); err != nil {
			return nil, fmt.Errorf("%s: %w", l.at(iter), err)
		}
	}
	return l.img, nil
}

// at says where an instruction is, for a person.
func (l *linker) at(iter *asm.InstructionIterator) string {
	where := fmt.Sprintf("instruction %d", iter.Offset)
	if i := len(l.img.Funcs); i > 1 {
		where += " in function " + l.img.FuncAt(int(iter.Offset)).Name
	}
	if line, ok := iter.Ins.Source().(*btf.Line); ok {
		where += fmt.Sprintf(" (%s:%d)", path.Base(line.FileName()), line.LineNumber())
	}
	return where
}

// findSymbols finds where functions and labels start, and the source lines.
func (l *linker) findSymbols() error {
	called := make(map[string]bool)
	for i := range l.insns {
		if ins := &l.insns[i]; ins.IsFunctionReference() {
			called[ins.Reference()] = true
		}
	}
	l.starts = make(map[string]int)
	for iter := l.insns.Iterate(); iter.Next(); {
		slot, name := int(iter.Offset), iter.Ins.Symbol()
		if name != "" {
			if _, ok := l.starts[name]; ok {
				return fmt.Errorf("symbol %s is defined twice", name)
			}
			l.starts[name] = slot
		}
		fn := btf.FuncMetadata(iter.Ins)
		if slot == 0 || fn != nil || name != "" && called[name] {
			l.img.Funcs = append(l.img.Funcs, Function{Name: functionName(name, fn, l.img.Name), Start: slot, Type: fn})
		}
		if line, ok := iter.Ins.Source().(*btf.Line); ok {
			l.img.Lines = append(l.img.Lines, Line{
				Start:  slot,
				File:   line.FileName(),
				Number: int(line.LineNumber()),
				Column: int(line.LineColumn()),
				Text:   strings.TrimSpace(line.Line()),
			})
		}
	}
	return nil
}

func functionName(symbol string, fn *btf.Func, otherwise string) string {
	if symbol == "" && fn != nil {
		return fn.Name
	}
	if symbol == "" {
		return otherwise
	}
	return symbol
}

// resolve replaces what an instruction refers to by name with what the machine
// understands.
func (l *linker) resolve(ins *asm.Instruction, slot int) error {
	if ext := ExternOf(ins); ext != nil && ext.Kind != ExternUnresolved {
		return l.resolveExtern(ins, slot, ext)
	}
	ref := ins.Reference()
	switch {
	case ins.IsLoadFromMap():
		return l.resolveMap(ins, ref)
	case ins.IsKfuncCall():
		return fmt.Errorf("call of kernel function %s, of which the spec does not say more: load the object with program.Open", ref)
	case ref == "":
		return nil
	case ins.IsFunctionReference() && ins.Constant == -1,
		ins.OpCode.Class() == asm.Jump32Class && ins.OpCode.JumpOp() == asm.Ja && ins.Constant == -1:
		distance, err := l.distance(ref, slot)
		ins.Constant = int64(distance)
		return err
	case ins.OpCode.Class().IsJump() && ins.Offset == -1 && !ins.IsFunctionReference():
		distance, err := l.distance(ref, slot)
		if err == nil && distance != int(int16(distance)) {
			err = fmt.Errorf("jump of %d instructions to %s is too far for 16 bits", distance, ref)
		}
		ins.Offset = int16(distance)
		return err
	case ins.OpCode.IsDWordLoad() && ins.Src == asm.R0:
		return l.unresolved("load of", ref)
	}
	return nil
}

// distance counts the slots from behind an instruction to a symbol.
func (l *linker) distance(symbol string, slot int) (int, error) {
	start, ok := l.starts[symbol]
	if !ok {
		return 0, l.unresolved("reference to", symbol)
	}
	return start - slot - 1, nil
}

// libcalls are what compilers call on their own account.
var libcalls = []string{"memcpy", "memset", "memmove", "memcmp", "bcmp", "bzero", "strlen", "abort"}

// unresolved says why a symbol has no value.
func (l *linker) unresolved(what, symbol string) error {
	_, kernels := l.sectionVariables(ksymsName)[symbol]
	switch {
	case kernels:
		return fmt.Errorf("%s kernel symbol %s, of which the spec does not say more: load the object with program.Open", what, symbol)
	case slices.Contains(libcalls, symbol):
		return fmt.Errorf("%s %s, which the compiler put in for a large or variable size: use __builtin_%[2]s with a small constant size, or a loop", what, symbol)
	case strings.HasPrefix(symbol, "__"):
		return fmt.Errorf("%s %s, which is defined nowhere: the compiler puts such names in for operations that BPF lacks (128-bit or floating-point arithmetic), avoid those", what, symbol)
	}
	return fmt.Errorf("%s %s, which is defined nowhere: define it in the object, link the object that has it (bpftool gen object), or declare it with __ksym or __kconfig", what, symbol)
}

// resolveMap gives a map its index in the image.
func (l *linker) resolveMap(ins *asm.Instruction, name string) error {
	switch {
	case ins.Map() != nil:
		return fmt.Errorf("%v is a map of the kernel: refer to it by name instead (Instruction.WithReference)", ins.Map())
	case name == "" && ins.Src == asm.PseudoMapValue && len(l.sectionVariables(kconfigName)) > 0:
		return errors.New("load of a .kconfig variable, of which the spec does not say more: load the object with program.Open")
	case name == "":
		return fmt.Errorf("load of the map with file descriptor %d: refer to it by name instead (Instruction.WithReference)", int32(ins.Constant))
	case l.spec.Maps[name] == nil:
		return fmt.Errorf("load of map %s, which the spec does not have", name)
	}
	l.setMap(ins, name, uint32(uint64(ins.Constant)>>32))
	return nil
}

func (l *linker) setMap(ins *asm.Instruction, name string, offset uint32) {
	index := slices.Index(l.img.Maps, name)
	if index < 0 {
		index = len(l.img.Maps)
		l.img.Maps = append(l.img.Maps, name)
	}
	if ins.Src == asm.PseudoMapFD {
		offset = 0
	}
	ins.Constant = int64(uint64(offset)<<32 | uint64(index)&math.MaxUint32)
}

// sectionVariables gives the variables of a section that exists in types only.
func (l *linker) sectionVariables(name string) map[string]btf.VarSecinfo {
	ds, err := datasec(l.spec.Types, name)
	if err != nil {
		return nil
	}
	return variables(ds)
}

// resolveExtern gives an extern its value, or says why there is none.
func (l *linker) resolveExtern(ins *asm.Instruction, slot int, ext *Extern) error {
	switch {
	case ext.Kind == ExternKconfig:
		return l.resolveKconfig(ins, ext)
	case ext.Kind == ExternKsym:
		return l.resolveKsym(ins, ext)
	case ins.IsKfuncCall():
		l.resolveKfunc(ins, slot, ext)
		return nil
	}
	// The address of a kernel function serves only to ask whether it is there.
	ins.Src, ins.Constant = 0, 0
	if !ext.Weak || l.hasKfunc(ext.Name) {
		ins.Constant = 1
	}
	return nil
}

func (l *linker) resolveKsym(ins *asm.Instruction, ext *Extern) error {
	var addr uint64
	var ok bool
	if l.opts.Ksym != nil {
		addr, ok = l.opts.Ksym(ext.Name)
	}
	switch {
	case !ok && ext.Weak:
		addr = 0
	case !ok:
		return fmt.Errorf("load of kernel variable %s, which this machine does not have: declare it __weak and test its address, or run in a kernel that has it", ext.Name)
	}
	ins.Src, ins.Constant = 0, int64(addr)
	return nil
}

func (l *linker) resolveKfunc(ins *asm.Instruction, slot int, ext *Extern) {
	if ext.Weak && !l.hasKfunc(ext.Name) {
		l.img.Poisoned[slot] = fmt.Sprintf("call of kernel function %s, which this machine does not have%s", ext.Name, l.whyNoKfunc(ext.Name))
		poison(ins)
		return
	}
	if fn, ok := ext.Type.(*btf.Func); ok {
		l.img.Kfuncs[slot] = fn
	}
}

// whyNoKfunc is the end of the sentence that a kernel function is not there.
func (l *linker) whyNoKfunc(name string) string {
	if l.opts.WhyNoKfunc != nil {
		if why := l.opts.WhyNoKfunc(name); why != "" {
			return ": it " + why
		}
	}
	return ""
}

func (l *linker) hasKfunc(name string) bool {
	return l.opts.HasKfunc != nil && l.opts.HasKfunc(name)
}
