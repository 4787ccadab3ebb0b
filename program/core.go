package program

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/suggest"
)

// relocateTypes applies the CO-RE relocations of the linker's instructions.
//
// cilium/ebpf computes what to change. It changes instructions only when it runs
// on Linux, which is why that is done here.
func (l *linker) relocateTypes() error {
	var relos []*btf.CORERelocation
	var at []asm.InstructionIterator // of each relocation
	for iter := l.insns.Iterate(); iter.Next(); {
		if relo := btf.CORERelocationMetadata(iter.Ins); relo != nil {
			relos = append(relos, relo)
			at = append(at, *iter)
		}
	}
	if len(relos) == 0 {
		return nil
	}
	fixups, err := l.fixups(relos)
	if err != nil {
		return fmt.Errorf("relocate types: %w", err)
	}
	for i, fix := range fixups {
		ins := at[i].Ins
		switch {
		case fix.poison:
			l.img.Poisoned[int(at[i].Offset)] = fmt.Sprintf("the target has no %s%s", l.missing(relos[i]), l.nearest(relos[i]))
			poison(ins)
		case fix.kind != typeIDLocal:
			if err := fix.apply(ins); err != nil {
				return fmt.Errorf("%s: relocate %s: %w", l.at(&at[i]), l.missing(relos[i]), err)
			}
		}
	}
	return nil
}

// fixups computes the outcome of relocations against the target's types. Types
// that the running kernel does not have itself may be a module's: those are read
// only where something is missing.
func (l *linker) fixups(relos []*btf.CORERelocation) ([]fixup, error) {
	target, host, err := l.target()
	if err != nil {
		return nil, err
	}
	l.img.KernelTypes = target
	fixups, err := calculate(relos, []*btf.Spec{target})
	if err != nil || !host || !lacking(fixups) {
		return fixups, err
	}
	modules, err := hostModules()
	if err != nil {
		return nil, err
	}
	if len(modules) == 0 {
		return fixups, nil
	}
	return calculate(relos, append([]*btf.Spec{target}, modules...))
}

// target gives the types that relocations aim at, and whether they are the
// running kernel's.
func (l *linker) target() (types *btf.Spec, host bool, err error) {
	if l.opts.KernelTypes != nil {
		return l.opts.KernelTypes, false, nil
	}
	if !l.opts.NoHostTypes {
		types, err := hostTypes()
		if err != nil {
			return nil, false, fmt.Errorf("read the running kernel's types: %w", err)
		}
		if types != nil {
			return types, true, nil
		}
	}
	if l.spec.Types == nil {
		return nil, false, errors.New("the spec has relocations and no types: build the program with clang -g")
	}
	return l.spec.Types, false, nil
}

const vmlinuxTypes = "/sys/kernel/btf/vmlinux"

var hostCache = btf.NewCache()

// hostTypes are the running kernel's types, nil where it has none.
var hostTypes = sync.OnceValues(func() (*btf.Spec, error) {
	if !exists(vmlinuxTypes) {
		return nil, nil
	}
	return hostCache.Kernel()
})

// hostModules are the types of the running kernel's modules.
var hostModules = sync.OnceValues(func() ([]*btf.Spec, error) {
	names, err := hostCache.Modules()
	if err != nil {
		return nil, fmt.Errorf("list kernel modules: %w", err)
	}
	var modules []*btf.Spec
	for _, name := range names {
		types, err := hostCache.Module(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // unloaded meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("read types of kernel module %s: %w", name, err)
		}
		modules = append(modules, types)
	}
	return modules, nil
})

// fixup is what a relocation does to its instruction.
type fixup struct {
	kind   string
	target uint64 // the new offset or immediate
	poison bool   // the target has no counterpart
}

// Kinds of relocations as cilium/ebpf prints them.
const (
	typeIDLocal = "local_type_id" // the object's own types stay as they are
	existsKinds = "field_exists type_exists enumval_exists type_matches"
)

func calculate(relos []*btf.CORERelocation, targets []*btf.Spec) ([]fixup, error) {
	keep := func(btf.Type) (btf.TypeID, error) { return 0, nil } // see typeIDLocal
	computed, err := btf.CORERelocate(relos, targets, binary.LittleEndian, keep)
	if err != nil {
		return nil, err
	}
	fixups := make([]fixup, len(computed))
	for i := range computed {
		if fixups[i], err = parseFixup(computed[i].String()); err != nil {
			return nil, err
		}
	}
	return fixups, nil
}

// parseFixup reads cilium/ebpf's text form of a fixup, the only one that it
// gives away: "byte_off=8->16" or "byte_off=poison".
func parseFixup(text string) (fixup, error) {
	kind, change, ok := strings.Cut(text, "=")
	if ok && change == "poison" {
		return fixup{kind: kind, poison: true}, nil
	}
	_, to, ok := strings.Cut(change, "->")
	target, err := strconv.ParseUint(to, 10, 64)
	if !ok || err != nil {
		return fixup{}, fmt.Errorf("relocation has no known outcome: %s", text)
	}
	return fixup{kind: kind, target: target}, nil
}

// lacking reports whether a better target could change anything.
func lacking(fixups []fixup) bool {
	for _, f := range fixups {
		if f.poison || f.target == 0 && strings.Contains(existsKinds, f.kind) {
			return true
		}
	}
	return false
}

func (f *fixup) apply(ins *asm.Instruction) error {
	v := int64(f.target)
	switch class := ins.OpCode.Class(); {
	case class == asm.LdXClass, class.IsStore():
		if v < 0 || v > math.MaxInt16 {
			return fmt.Errorf("offset %d does not fit into 16 bits", f.target)
		}
		ins.Offset = int16(v)
		return nil
	case ins.IsConstantLoad(asm.DWord):
		ins.Constant = v
		return nil
	case class.IsALU() && ins.OpCode.Source() == asm.ImmSource:
		if v != int64(int32(v)) && (class == asm.ALU64Class || v != int64(uint32(v))) {
			return fmt.Errorf("value %d does not fit into 32 bits", v)
		}
		ins.Constant = v
		return nil
	}
	return fmt.Errorf("%v has nothing to relocate", ins.OpCode)
}

// poison makes an instruction one that no verifier lets pass where it can be
// reached: libbpf's.
func poison(ins *asm.Instruction) {
	with := asm.BuiltinFunc(btf.COREBadRelocationSentinel).Call()
	if ins.OpCode.IsDWordLoad() {
		with = asm.LoadImm(asm.R10, btf.COREBadRelocationSentinel, asm.DWord)
	}
	*ins = with.WithMetadata(ins.Metadata)
}

// relocation matches cilium/ebpf's text form of a relocation.
var relocation = regexp.MustCompile(`^CORERelocation\((\w+), .*\[([0-9:]+)\], local_id=(\d+)\)$`)

// missing names what a relocation asks for: "field task_struct.pid".
func (l *linker) missing(relo *btf.CORERelocation) string {
	text := relo.String()
	m := relocation.FindStringSubmatch(text)
	if m == nil || l.spec.Types == nil {
		return text
	}
	kind, accessor := m[1], m[2]
	id, err := strconv.ParseUint(m[3], 10, 32)
	if err != nil {
		return text
	}
	typ, err := l.spec.Types.TypeByID(btf.TypeID(id))
	if err != nil {
		return text
	}
	switch {
	case strings.HasPrefix(kind, "enumval"):
		return "enumerator " + enumerator(typ, accessor)
	case strings.Contains(kind, "type"):
		return "type " + typ.TypeName()
	}
	return "field " + typ.TypeName() + fieldPath(typ, accessor)
}

// nearest is what was meant, perhaps, with a field that the target lacks.
func (l *linker) nearest(relo *btf.CORERelocation) string {
	name, path, ok := strings.Cut(strings.TrimPrefix(l.missing(relo), "field "), ".")
	if !ok || strings.Contains(path, ".") { // of a struct within: its type is not named
		return ""
	}
	flavour, _, _ := strings.Cut(name, "___")
	types, err := l.img.KernelTypes.AnyTypesByName(flavour)
	if err != nil {
		return ""
	}
	var known []string
	for _, typ := range types {
		if s, ok := typ.(*btf.Struct); ok {
			for _, m := range s.Members {
				known = append(known, m.Name)
			}
		}
	}
	return suggest.Name(path, known)
}

func enumerator(typ btf.Type, accessor string) string {
	i, err := strconv.Atoi(accessor)
	e, ok := btf.UnderlyingType(typ).(*btf.Enum)
	if err != nil || !ok || i >= len(e.Values) {
		return "of " + typ.TypeName()
	}
	return fmt.Sprintf("%s of enum %s", e.Values[i].Name, e.Name)
}

// fieldPath names a field by a relocation's path through a type, whose first
// number counts elements of the type itself.
func fieldPath(typ btf.Type, accessor string) string {
	var path strings.Builder
	for _, step := range strings.Split(accessor, ":")[1:] {
		i, err := strconv.Atoi(step)
		if err != nil {
			break
		}
		var members []btf.Member
		switch t := btf.UnderlyingType(typ).(type) {
		case *btf.Array:
			fmt.Fprintf(&path, "[%d]", i)
			typ = t.Type
			continue
		case *btf.Struct:
			members = t.Members
		case *btf.Union:
			members = t.Members
		}
		if i >= len(members) {
			break
		}
		if name := members[i].Name; name != "" {
			path.WriteString("." + name)
		}
		typ = members[i].Type
	}
	return path.String()
}
