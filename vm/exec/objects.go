package exec

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/skep-ebpf/skep/internal/mem"
)

// Objects is memory of the kernel and of processes, as a person describes it: the
// structures that programs reach by pointers of the kernel's types, and regions
// that only helpers such as bpf_probe_read see. It does not change while programs
// run, but for what programs write themselves. A nil *Objects is empty.
type Objects struct {
	objects []Object  // by address
	virtual []Virtual // by address
}

// Object is a structure, array or string of the kernel's.
type Object struct {
	Addr, Size uintptr // memory outside the Go heap
	Type       string  // its type's name in BTF: "task_struct"
}

// Virtual is memory at an address that a person chose, where the machine itself
// may have none.
type Virtual struct {
	Addr  uint64
	Bytes []byte
	User  bool // of a process, rather than the kernel's
}

// NewObjects makes a table. It fails where two of its members overlap.
func NewObjects(objects []Object, virtual []Virtual) (*Objects, error) {
	o := &Objects{objects: slices.Clone(objects), virtual: slices.Clone(virtual)}
	slices.SortFunc(o.objects, func(a, b Object) int { return cmp.Compare(a.Addr, b.Addr) })
	slices.SortFunc(o.virtual, func(a, b Virtual) int { return cmp.Compare(a.Addr, b.Addr) })
	for i := 1; i < len(o.objects); i++ {
		if a, b := &o.objects[i-1], &o.objects[i]; a.Addr+a.Size > b.Addr {
			return nil, fmt.Errorf("%s at %#x and %s at %#x overlap", a.Type, a.Addr, b.Type, b.Addr)
		}
	}
	for i := range o.virtual {
		v := &o.virtual[i]
		if v.Addr+uint64(len(v.Bytes)) < v.Addr {
			return nil, fmt.Errorf("memory of %d bytes at %#x ends behind the last address", len(v.Bytes), v.Addr)
		}
		if i > 0 {
			before := &o.virtual[i-1]
			if v.Addr-before.Addr < uint64(len(before.Bytes)) {
				return nil, fmt.Errorf("memory of %d bytes at %#x and memory at %#x overlap", len(before.Bytes), before.Addr, v.Addr)
			}
		}
	}
	return o, nil
}

// Join makes one table of two.
func (o *Objects) Join(p *Objects) (*Objects, error) {
	if o == nil || p == nil {
		return cmp.Or(o, p), nil
	}
	return NewObjects(slices.Concat(o.objects, p.objects), slices.Concat(o.virtual, p.virtual))
}

// Find gives the index of the object that an address lies in.
func (o *Objects) Find(addr uintptr) (int, bool) {
	if o == nil {
		return 0, false
	}
	i, ok := slices.BinarySearchFunc(o.objects, addr, func(e Object, a uintptr) int { return cmp.Compare(e.Addr, a) })
	if !ok {
		i--
	}
	if i < 0 || addr-o.objects[i].Addr >= o.objects[i].Size {
		return 0, false
	}
	return i, true
}

// At gives an object by its index; the zero Object where there is none.
func (o *Objects) At(i int) Object {
	if o == nil || i < 0 || i >= len(o.objects) {
		return Object{}
	}
	return o.objects[i]
}

// After gives the first object of a type behind an address; false: there is none.
func (o *Objects) After(addr uintptr, typ string) (Object, bool) {
	if o != nil {
		for _, e := range o.objects {
			if e.Addr > addr && e.Type == typ {
				return e, true
			}
		}
	}
	return Object{}, false
}

// Prov is where a number points that typed memory held.
func (o *Objects) Prov(v uint64) Prov {
	if i, ok := o.Find(uintptr(v)); ok {
		return Make(RegionBTF, uint32(i))
	}
	return Nowhere
}

// Readable gives the bytes from an address to the end of the object or the
// virtual memory that it lies in; none where there is nothing. user asks for a
// process's memory, and otherwise the kernel's is meant.
func (o *Objects) Readable(addr uint64, user bool) []byte {
	if o == nil {
		return nil
	}
	if i, ok := o.Find(uintptr(addr)); ok && !user {
		e := &o.objects[i]
		return mem.View(uintptr(addr), int(e.Size-(uintptr(addr)-e.Addr)))
	}
	i, ok := slices.BinarySearchFunc(o.virtual, addr, func(e Virtual, a uint64) int { return cmp.Compare(e.Addr, a) })
	if !ok {
		i--
	}
	if i < 0 {
		return nil
	}
	v := &o.virtual[i]
	if at := addr - v.Addr; v.User == user && at < uint64(len(v.Bytes)) {
		return v.Bytes[at:]
	}
	return nil
}

// Read copies len(b) bytes at an address, and reports whether all are there.
// Memory that adjoins counts as one.
func (o *Objects) Read(addr uint64, b []byte, user bool) bool {
	for len(b) > 0 {
		n := copy(b, o.Readable(addr, user))
		if n == 0 {
			return false
		}
		b, addr = b[n:], addr+uint64(n)
	}
	return true
}
