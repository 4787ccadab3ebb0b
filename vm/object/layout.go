package object

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf/btf"
)

// Kind is a kind of special field, named as the kernel names it (enum
// btf_field_type).
type Kind uint8

// The kinds of special fields.
const (
	SpinLock      Kind = iota // struct bpf_spin_lock
	ResSpinLock               // struct bpf_res_spin_lock
	Timer                     // struct bpf_timer
	Workqueue                 // struct bpf_wq
	TaskWork                  // struct bpf_task_work
	KptrRef                   // T __kptr *
	KptrUntrusted             // T __kptr_untrusted *
	KptrPerCPU                // T __percpu_kptr *
	Uptr                      // T __uptr *
	ListHead                  // struct bpf_list_head
	ListNode                  // struct bpf_list_node
	RBRoot                    // struct bpf_rb_root
	RBNode                    // struct bpf_rb_node
	Refcount                  // struct bpf_refcount
)

// structs are the kinds that are structs, with their sizes in bytes.
var structs = map[string]struct {
	kind Kind
	size uint32
}{
	"bpf_spin_lock": {SpinLock, 4}, "bpf_res_spin_lock": {ResSpinLock, 4},
	"bpf_timer": {Timer, 16}, "bpf_wq": {Workqueue, 16}, "bpf_task_work": {TaskWork, 8},
	"bpf_list_head": {ListHead, 16}, "bpf_list_node": {ListNode, 24},
	"bpf_rb_root": {RBRoot, 16}, "bpf_rb_node": {RBNode, 32},
	"bpf_refcount": {Refcount, 4},
}

// pointers are the kinds that are pointers, by their type tags.
var pointers = map[string]Kind{
	"kptr": KptrRef, "kptr_untrusted": KptrUntrusted, "percpu_kptr": KptrPerCPU, "uptr": Uptr,
}

var names = [...]string{
	SpinLock: "bpf_spin_lock", ResSpinLock: "bpf_res_spin_lock", Timer: "bpf_timer", Workqueue: "bpf_wq",
	TaskWork: "bpf_task_work", KptrRef: "kptr", KptrUntrusted: "untrusted kptr", KptrPerCPU: "per-CPU kptr",
	Uptr: "uptr", ListHead: "bpf_list_head", ListNode: "bpf_list_node", RBRoot: "bpf_rb_root",
	RBNode: "bpf_rb_node", Refcount: "bpf_refcount",
}

func (k Kind) String() string { return names[k] }

// Loadable reports whether programs may load the field as an 8-byte pointer.
func (k Kind) Loadable() bool {
	return k == KptrRef || k == KptrUntrusted || k == KptrPerCPU || k == Uptr
}

// Field is a special field of a value or object: Size bytes at Off that programs
// access through helpers and kernel functions only.
type Field struct {
	Kind Kind
	Off  uint32
	Size uint32
	// Type is what a pointer points to; nil for other kinds.
	Type btf.Type
}

// Fields finds the special fields of a type, in the order of their offsets: in
// the struct itself, in structs inside it, and in arrays of either.
func Fields(t btf.Type) []Field {
	var all []Field
	collect(t, 0, &all)
	slices.SortFunc(all, func(a, b Field) int { return cmp.Compare(a.Off, b.Off) })
	return all
}

// maxFields is how many special fields a type may have (BTF_FIELDS_MAX is 11;
// arrays count each element there, too).
const maxFields = 1024

func collect(t btf.Type, off uint32, all *[]Field) {
	if len(*all) >= maxFields || t == nil {
		return
	}
	switch t := btf.UnderlyingType(t).(type) {
	case *btf.Struct:
		if s, ok := structs[t.Name]; ok {
			*all = append(*all, Field{Kind: s.kind, Off: off, Size: s.size})
			return
		}
		for _, m := range t.Members {
			if m.BitfieldSize == 0 {
				collect(m.Type, off+m.Offset.Bytes(), all)
			}
		}
	case *btf.Datasec:
		for _, v := range t.Vars {
			collect(v.Type, off+v.Offset, all)
		}
	case *btf.Var:
		collect(t.Type, off, all)
	case *btf.Array:
		size, err := btf.Sizeof(t.Type)
		if err != nil || !holds(t.Type) {
			return
		}
		for i := range min(t.Nelems, maxFields) {
			collect(t.Type, off+i*uint32(size), all)
		}
	case *btf.Pointer:
		if tag, ok := t.Target.(*btf.TypeTag); ok {
			if kind, ok := pointers[tag.Value]; ok {
				*all = append(*all, Field{Kind: kind, Off: off, Size: 8, Type: tag.Type})
			}
		}
	}
}

// holds reports whether a type has any special field.
func holds(t btf.Type) bool {
	var all []Field
	collect(t, 0, &all)
	return len(all) > 0
}

// At gives the field that n bytes at an offset touch, or nil.
func At(fields []Field, off, n uintptr) *Field {
	for i := range fields {
		if f := &fields[i]; off < uintptr(f.Off)+uintptr(f.Size) && uintptr(f.Off) < off+n {
			return f
		}
	}
	return nil
}

// Layout is what is known of the objects of one type.
type Layout struct {
	Name   string // of the type: "struct node_data"
	Size   uint32 // bytes
	Fields []Field
	// ReadOnly says that programs change the object through kernel functions only.
	ReadOnly bool
	// CPUs is how many copies of Size bytes a per-CPU object has, each at a
	// multiple of Stride; 0 for other objects.
	CPUs   int
	Stride uint32
}

// maxSize is the largest object that Linux allocates, and maxPerCPU the largest
// per-CPU one (BPF_GLOBAL_PERCPU_MA_MAX_SIZE), in bytes.
const (
	maxSize   = 4096
	maxPerCPU = 512
)

// LayoutOf is the layout of a program's struct. cpus is 0 for an object that is
// not per-CPU.
func LayoutOf(t btf.Type, cpus int) (*Layout, error) {
	s, ok := btf.UnderlyingType(t).(*btf.Struct)
	if !ok {
		return nil, fmt.Errorf("allocate a %s: only structs can be allocated", strings.TrimSpace(fmt.Sprintf("%v", t)))
	}
	l := &Layout{Name: "struct " + s.Name, Size: s.Size, Fields: Fields(s), CPUs: cpus}
	if cpus > 0 {
		if s.Size > maxPerCPU {
			return nil, fmt.Errorf("allocate a per-CPU %s: it has %d bytes, and such objects have at most %d", l.Name, s.Size, maxPerCPU)
		}
		if len(l.Fields) > 0 {
			return nil, fmt.Errorf("allocate a per-CPU %s: it has a %s, and such objects have no special fields", l.Name, l.Fields[0].Kind)
		}
		l.Stride = (s.Size + 7) &^ 7
	}
	return l, nil
}

// bytes is how much memory an object takes.
func (l *Layout) bytes() uintptr {
	if l.CPUs > 0 {
		return uintptr(l.CPUs) * uintptr(l.Stride)
	}
	return uintptr(l.Size)
}
