package maps

import (
	"cmp"
	"math/bits"
	"slices"
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
