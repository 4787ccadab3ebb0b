package object

import (
	"fmt"

	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/vm/maps"
)

// Layout is what is known of the objects of one type.
type Layout struct {
	Name   string // of the type: "struct node_data"
	Size   uint32 // bytes
	Fields maps.Fields
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
		return nil, fmt.Errorf("allocate a %T: only structs can be allocated", t)
	}
	fields, err := maps.FieldsOf(s, maps.ObjectFields)
	if err != nil {
		return nil, fmt.Errorf("allocate a struct %s: %w", s.Name, err)
	}
	l := &Layout{Name: "struct " + s.Name, Size: s.Size, Fields: fields, CPUs: cpus}
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
