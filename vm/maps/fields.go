package maps

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
)

// FieldKind is what a special field of a value is. The kinds are bits, so that
// they make sets.
type FieldKind uint32

// The kinds of special fields, with the kernel's numbers (enum btf_field_type).
const (
	FieldSpinLock FieldKind = 1 << iota
	FieldTimer
	FieldKptrUntrusted // __kptr_untrusted
	FieldKptr          // __kptr
	FieldKptrPercpu    // __percpu_kptr
	FieldListHead
	FieldListNode
	FieldRBRoot
	FieldRBNode
	FieldRefcount
	FieldWorkqueue
	FieldUptr // __uptr: a pointer to user space's memory
	FieldResSpinLock
	FieldTaskWork

	fieldKinds = 14
	fieldsMax  = 11 // BTF_FIELDS_MAX

	anyKptr = FieldKptrUntrusted | FieldKptr | FieldKptrPercpu

	// ValueFields are the kinds that a map's value may have.
	ValueFields = FieldSpinLock | FieldResSpinLock | FieldTimer | anyKptr | FieldListHead | FieldRBRoot |
		FieldRefcount | FieldWorkqueue | FieldUptr | FieldTaskWork
	// ObjectFields are the kinds that an object of bpf_obj_new may have.
	ObjectFields = FieldSpinLock | FieldResSpinLock | FieldListHead | FieldListNode | FieldRBRoot | FieldRBNode |
		FieldRefcount | anyKptr
)

// Field is a part of a value that the machine keeps something in: programs reach
// it by helpers only, and user space sees zeroes.
type Field struct {
	Kind   FieldKind
	Offset uint32 // bytes from the value's first
	Size   uint32 // bytes
	// Target is what a kptr points to.
	Target *btf.Struct
	// Contains and Node are, for a list head or a tree's root, the name of the
	// struct that it holds and of the member that links it.
	Contains, Node string
}

// Fields are a value's special fields in the order of their offsets.
type Fields []Field

// Has reports whether there is a field of one of the kinds.
func (fs Fields) Has(kinds FieldKind) bool {
	return slices.ContainsFunc(fs, func(f Field) bool { return f.Kind&kinds != 0 })
}

// Offset is where the first field of a kind lies, or -1.
func (fs Fields) Offset(kind FieldKind) int {
	for _, f := range fs {
		if f.Kind == kind {
			return int(f.Offset)
		}
	}
	return -1
}

// At gives the field that begins at an offset, or nil.
func (fs Fields) At(offset uint32) *Field {
	i, ok := slices.BinarySearchFunc(fs, offset, func(f Field, offset uint32) int { return cmp.Compare(f.Offset, offset) })
	if !ok {
		return nil
	}
	return &fs[i]
}

// equal compares what programs rely on.
func (fs Fields) equal(other Fields) bool {
	return slices.EqualFunc(fs, other, func(a, b Field) bool { return a.Kind == b.Kind && a.Offset == b.Offset })
}

// structFields are the kinds that are a struct of a certain name.
var structFields = map[string]struct {
	kind  FieldKind
	size  uint32
	align uint32
	once  bool
}{
	"bpf_spin_lock":     {FieldSpinLock, 4, 4, true},
	"bpf_res_spin_lock": {FieldResSpinLock, 4, 4, true},
	"bpf_timer":         {FieldTimer, 16, 8, true},
	"bpf_wq":            {FieldWorkqueue, 16, 8, true},
	"bpf_task_work":     {FieldTaskWork, 8, 8, true},
	"bpf_refcount":      {FieldRefcount, 4, 4, true},
	"bpf_list_head":     {FieldListHead, 16, 8, false},
	"bpf_list_node":     {FieldListNode, 24, 8, false},
	"bpf_rb_root":       {FieldRBRoot, 16, 8, false},
	"bpf_rb_node":       {FieldRBNode, 32, 8, false},
}

// kptrTags are the type tags of pointers that are kept.
var kptrTags = map[string]FieldKind{
	"kptr_untrusted": FieldKptrUntrusted,
	"kptr":           FieldKptr,
	"percpu_kptr":    FieldKptrPercpu,
	"uptr":           FieldUptr,
}

// FieldsOf finds the special fields of the given kinds in a struct or a data
// section, under Linux's rules: at most one lock, timer, workqueue and count,
// lists and trees only beside a lock. Types that are neither have none.
func FieldsOf(t btf.Type, kinds FieldKind) (Fields, error) {
	if t == nil {
		return nil, nil
	}
	f := finder{kinds: kinds}
	var err error
	switch t := btf.UnderlyingType(t).(type) {
	case *btf.Struct:
		err = f.members(t, 0, 0)
	case *btf.Datasec:
		for _, v := range t.Vars {
			if variable, ok := v.Type.(*btf.Var); ok && err == nil {
				err = f.one(variable.Type, variable.Tags, v.Offset, v.Size, 0)
			}
		}
	}
	if err == nil {
		err = f.check()
	}
	if err != nil {
		return nil, fmt.Errorf("special fields of %s: %w", t.TypeName(), err)
	}
	return f.found, nil
}

// finder walks through a type.
type finder struct {
	kinds, seen FieldKind
	found       Fields
}

func (f *finder) members(s *btf.Struct, base uint32, level int) error {
	if level > 4 {
		return refuse(errno.E2BIG, "structs are nested too deeply")
	}
	for _, m := range s.Members {
		if m.Offset%8 != 0 {
			continue
		}
		if err := f.one(m.Type, m.Tags, base+m.Offset.Bytes(), 0, level); err != nil {
			return err
		}
	}
	return nil
}

// one looks at a member or variable, which may be an array. size is what a
// variable has in its section, 0 for a member.
func (f *finder) one(t btf.Type, tags []string, offset, size uint32, level int) error {
	n := uint32(1)
	for array, ok := t.(*btf.Array); ok; array, ok = t.(*btf.Array) {
		n, t = n*array.Nelems, array.Type
	}
	field, align, err := f.describe(t, tags)
	if err != nil || n == 0 {
		return err
	}
	s, isStruct := t.(*btf.Struct)
	if field.Kind == 0 && !isStruct {
		return nil
	}
	each := field.Size
	if field.Kind == 0 {
		each = s.Size
	}
	if size != 0 && size != each*n {
		return nil
	}
	if field.Kind == 0 {
		return f.nested(s, offset, n, level)
	}
	if offset%align != 0 {
		return nil
	}
	if n > 1 && field.Kind&(anyKptr|FieldUptr|FieldListHead|FieldRBRoot) == 0 {
		return refuse(errno.EINVAL, "an array of special fields at byte %d", offset)
	}
	for i := range min(n, fieldsMax+1) {
		field.Offset = offset + i*each
		f.found = append(f.found, field)
	}
	return f.room()
}

// nested looks into a struct, or an array of them.
func (f *finder) nested(s *btf.Struct, offset, n uint32, level int) error {
	before := len(f.found)
	if err := f.members(s, offset, level+1); err != nil || len(f.found) == before {
		return err
	}
	first := slices.Clone(f.found[before:])
	for i := uint32(1); i < n; i++ {
		for _, field := range first {
			if field.Kind&(anyKptr|FieldUptr|FieldListHead|FieldRBRoot) == 0 {
				return refuse(errno.EINVAL, "an array of structs with special fields at byte %d", offset)
			}
			field.Offset += i * s.Size
			f.found = append(f.found, field)
		}
		if err := f.room(); err != nil {
			return err
		}
	}
	return nil
}

func (f *finder) room() error {
	if len(f.found) > fieldsMax {
		return refuse(errno.E2BIG, "more than %d special fields", fieldsMax)
	}
	return nil
}

// describe says what a type is; Kind 0 where it is nothing special.
func (f *finder) describe(t btf.Type, tags []string) (Field, uint32, error) {
	switch t := t.(type) {
	case *btf.Struct:
		known := structFields[t.Name]
		field := Field{Kind: known.kind & f.kinds, Size: known.size}
		if field.Kind == 0 {
			return Field{}, 0, nil
		}
		if known.once && f.seen&known.kind != 0 {
			return Field{}, 0, refuse(errno.E2BIG, "more than one %s", t.Name)
		}
		f.seen |= known.kind
		if known.kind&(FieldListHead|FieldRBRoot) != 0 {
			if field.Contains, field.Node = contains(tags); field.Contains == "" {
				return Field{}, 0, refuse(errno.EINVAL, "a %s does not say what it holds (__contains)", t.Name)
			}
		}
		return field, known.align, nil
	case *btf.Pointer:
		tag, ok := t.Target.(*btf.TypeTag)
		if !ok {
			return Field{}, 0, nil
		}
		if _, more := tag.Type.(*btf.TypeTag); more {
			return Field{}, 0, refuse(errno.EINVAL, "a pointer has more than one type tag")
		}
		target, _ := btf.UnderlyingType(tag.Type).(*btf.Struct)
		kind := kptrTags[tag.Value] & f.kinds
		if kind != 0 && target == nil {
			return Field{}, 0, refuse(errno.EINVAL, "a %s does not point to a struct", tag.Value)
		}
		return Field{Kind: kind, Size: 8, Target: target}, 8, nil
	}
	return Field{}, 0, nil
}

// contains reads "contains:STRUCT:MEMBER".
func contains(tags []string) (name, node string) {
	for _, tag := range tags {
		if rest, ok := strings.CutPrefix(tag, "contains:"); ok {
			name, node, _ = strings.Cut(rest, ":")
			return name, node
		}
	}
	return "", ""
}

// check sorts the fields and holds them against each other.
func (f *finder) check() error {
	slices.SortFunc(f.found, func(a, b Field) int { return cmp.Compare(a.Offset, b.Offset) })
	end := uint32(0)
	for _, field := range f.found {
		if field.Offset < end {
			return refuse(errno.EEXIST, "two fields at byte %d", field.Offset)
		}
		end = field.Offset + field.Size
	}
	switch {
	case f.found.Has(FieldSpinLock) && f.found.Has(FieldResSpinLock):
		return refuse(errno.EINVAL, "a bpf_spin_lock and a bpf_res_spin_lock")
	case f.found.Has(FieldListHead|FieldRBRoot) && !f.found.Has(FieldSpinLock|FieldResSpinLock):
		return refuse(errno.EINVAL, "a list or a tree without a bpf_spin_lock")
	}
	return nil
}

// valueFields are the special fields of a map's values. What Linux finds wrong in
// them it takes as none, and lets programs find out.
func valueFields(spec *ebpf.MapSpec) Fields {
	if spec.Value == nil {
		return nil
	}
	if size, err := btf.Sizeof(spec.Value); err != nil || uint32(size) != spec.ValueSize {
		return nil
	}
	fields, err := FieldsOf(spec.Value, ValueFields)
	if err != nil {
		return nil
	}
	return fields
}

// The types whose values may have fields of a kind.
var (
	withLocks = []ebpf.MapType{ebpf.Hash, ebpf.Array, ebpf.CGroupStorage, ebpf.SkStorage, ebpf.InodeStorage,
		ebpf.TaskStorage, ebpf.CgroupStorage}
	withTimers = []ebpf.MapType{ebpf.Hash, ebpf.LRUHash, ebpf.Array}
	withKptrs  = []ebpf.MapType{ebpf.Hash, ebpf.PerCPUHash, ebpf.LRUHash, ebpf.LRUCPUHash, ebpf.Array, ebpf.PerCPUArray,
		ebpf.SkStorage, ebpf.InodeStorage, ebpf.TaskStorage, ebpf.CgroupStorage}
	withUptrs = []ebpf.MapType{ebpf.TaskStorage}
)

// checkFields refuses values with fields that the type cannot keep.
func checkFields(spec *ebpf.MapSpec) error {
	fields := valueFields(spec)
	if len(fields) > 0 && spec.Flags&progAccess != 0 {
		return refuse(errno.EACCES, "the value has a %s, which programs must be able to read and write: flags %#x",
			fields[0].Kind, spec.Flags&progAccess)
	}
	for _, f := range fields {
		var types []ebpf.MapType
		switch f.Kind {
		case FieldSpinLock, FieldResSpinLock:
			types = withLocks
		case FieldTimer, FieldWorkqueue, FieldTaskWork, FieldListHead, FieldRBRoot:
			types = withTimers
		case FieldKptrUntrusted, FieldKptr, FieldKptrPercpu, FieldRefcount:
			types = withKptrs
		case FieldUptr:
			types = withUptrs
		}
		if !slices.Contains(types, spec.Type) {
			return refuse(errno.EOPNOTSUPP, "the value has a %s, which a %s cannot keep", f.Kind, spec.Type)
		}
	}
	return nil
}

var kindNames = [fieldKinds]string{"bpf_spin_lock", "bpf_timer", "__kptr_untrusted pointer", "__kptr pointer",
	"__percpu_kptr pointer", "bpf_list_head", "bpf_list_node", "bpf_rb_root", "bpf_rb_node", "bpf_refcount", "bpf_wq",
	"__uptr pointer", "bpf_res_spin_lock", "bpf_task_work"}

// String is the kind as C writes it.
func (k FieldKind) String() string {
	if i := bits.TrailingZeros32(uint32(k)); i < fieldKinds {
		return kindNames[i]
	}
	return "nothing"
}

// freeField is what ends what a field of each kind keeps, by the kind's bit.
var freeField [fieldKinds]atomic.Pointer[func(info *Info, f *Field, addr uintptr)]

// OnFree says what ends what fields of a kind keep: it is called with the field's
// address when its value is overwritten, deleted, or closed with its map, and
// zeroes what it takes. Packages that implement a kind call it from init.
func OnFree(kind FieldKind, free func(info *Info, f *Field, addr uintptr)) {
	freeField[bits.TrailingZeros32(uint32(kind))].Store(&free)
}

// Free ends what the fields of the value at addr keep.
func (fs Fields) Free(info *Info, addr uintptr) {
	for i := range fs {
		f := &fs[i]
		if free := freeField[bits.TrailingZeros32(uint32(f.Kind))].Load(); free != nil {
			(*free)(info, f, addr+uintptr(f.Offset))
		}
	}
}

// copyInto copies a value and leaves its special fields as they are.
func (fs Fields) copyInto(dst, src []byte) {
	at := uint32(0)
	for i := range fs {
		copy(dst[at:fs[i].Offset], src[at:])
		at = fs[i].Offset + fs[i].Size
	}
	copy(dst[at:], src[at:])
}

// hide turns a copy of a value into what user space sees of it.
func (fs Fields) hide(value []byte) {
	for i := range fs {
		f := &fs[i]
		clear(value[f.Offset:][:f.Size])
		if f.Kind == FieldRefcount {
			putU32(value[f.Offset:], 1)
		}
	}
}

// reset zeroes the fields of a value that nobody has seen.
func (fs Fields) reset(addr uintptr) {
	for i := range fs {
		clear(mem.View(addr+uintptr(fs[i].Offset), int(fs[i].Size)))
	}
}
