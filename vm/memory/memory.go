package memory

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/ctype"
	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/exec"
)

// Memory is objects that are being built. It is not safe for concurrent use.
type Memory struct {
	types   []*btf.Spec
	objects []exec.Object
	virtual []exec.Virtual
	named   map[string]object
	blocks  []*mem.Block
	free    []byte // what is left of the last block
}

// object is where a named object lies, and what it is.
type object struct {
	addr uint64
	typ  btf.Type
}

// New makes an empty memory whose objects are of these types; of types with the
// same name the first one's counts.
func New(types ...*btf.Spec) *Memory {
	return &Memory{types: types, named: make(map[string]object)}
}

// At is a value with the line of the file that it stands on, for messages.
type At struct {
	Line  int
	Value any
}

// Ref is a pointer to a named object, or to a field of it: "task", "task.comm".
type Ref string

// Struct builds an object of a structure or union and gives its address. The
// fields are named as in C, those of structures without a name included. A value
// is, by the field's type:
//   - a number: any Go integer or a bool; an enum's value by its name
//   - a text for an array of characters, which ends in a NUL, or an address
//     ("10.0.0.1", "::1", "02:00:00:00:00:01") for as many bytes as it has
//   - a map[string]any for a structure or union, a []any or []byte for an array;
//     one that ends a structure and has no size of its own grows
//   - for a pointer an address, a [Ref], or what it is to point to: a map, a list
//     or a text makes another object
//   - for a field __data_loc_name the text or the bytes that the event carries
func (m *Memory) Struct(typ string, fields map[string]any) (uint64, error) {
	return m.Value(typ, fields)
}

// Value builds an object of any type by its name ("task_struct", "struct
// task_struct", "u64") and gives its address.
func (m *Memory) Value(typ string, value any) (uint64, error) {
	t, err := m.typeByName(typ)
	if err != nil {
		return 0, err
	}
	return m.build(t, value)
}

// Fill writes a value into zeroed memory of the caller's that is of a type.
func (m *Memory) Fill(dst []byte, typ string, value any) error {
	t, err := m.typeByName(typ)
	if err != nil {
		return err
	}
	return m.put(dst, t, value)
}

// Size is how many bytes a value of a type takes.
func (m *Memory) Size(typ string, value any) (int, error) {
	t, err := m.typeByName(typ)
	if err != nil {
		return 0, err
	}
	more, err := m.trailing(t, value)
	return fixedSize(t) + more, err
}

// Declare makes room for an object under a name, so that references to it may
// come before its value.
func (m *Memory) Declare(name, typ string, value any) error {
	t, err := m.typeByName(typ)
	if err != nil {
		return err
	}
	if _, ok := m.named[name]; ok {
		return fmt.Errorf("there are two objects named %s", name)
	}
	b, err := m.room(t, value)
	if err != nil {
		return err
	}
	m.named[name] = object{uint64(exec.Addr(b)), t}
	return nil
}

// Define gives a declared object its value.
func (m *Memory) Define(name string, value any) error {
	o, ok := m.named[name]
	if !ok {
		return m.unknownObject(name)
	}
	i := m.find(o.addr)
	return m.put(mem.View(uintptr(o.addr), int(m.objects[i].Size)), o.typ, value)
}

// Address is where a reference leads.
func (m *Memory) Address(r Ref) (uint64, error) {
	name, path, _ := strings.Cut(strings.TrimPrefix(string(r), "&"), ".")
	o, ok := m.named[name]
	if !ok {
		return 0, m.unknownObject(name)
	}
	if path == "" {
		return o.addr, nil
	}
	off, err := offsetOf(o.typ, path)
	return o.addr + uint64(off), err
}

// Field is the memory of a field ("comm", "cred.uid") of the object of a type at an
// address; nil where there is none.
func (m *Memory) Field(addr uint64, typ, path string) []byte {
	t, err := m.typeByName(typ)
	if err != nil {
		return nil
	}
	off, err := offsetOf(t, path)
	i := m.find(addr)
	if err != nil || i < 0 || uintptr(off) >= m.objects[i].Size {
		return nil
	}
	return mem.View(uintptr(addr)+uintptr(off), int(m.objects[i].Size)-int(off))
}

// Region adds memory at an address of the caller's choice that only helpers see. user says
// that it is a process's rather than the kernel's.
func (m *Memory) Region(addr uint64, b []byte, user bool) {
	m.virtual = append(m.virtual, exec.Virtual{Addr: addr, Bytes: b, User: user})
}

// Objects gives all that was built, for [exec.Env]. The memory must stay open as
// long as programs use it.
func (m *Memory) Objects() (*exec.Objects, error) { return exec.NewObjects(m.objects, m.virtual) }

// Close gives the memory back. No program may use it any more.
func (m *Memory) Close() error {
	var err error
	for _, b := range m.blocks {
		err = errors.Join(err, b.Free())
	}
	m.blocks, m.free, m.objects = nil, nil, nil
	return err
}

// build makes an object of a type and fills it.
func (m *Memory) build(t btf.Type, value any) (uint64, error) {
	b, err := m.room(t, value)
	if err != nil {
		return 0, err
	}
	return uint64(exec.Addr(b)), m.put(b, t, value)
}

// room makes zeroed room for an object of a type, and for what its value adds to
// an array at its end.
func (m *Memory) room(t btf.Type, value any) ([]byte, error) {
	size, err := btf.Sizeof(t)
	if err != nil {
		return nil, fmt.Errorf("%s has no size: %w", ctype.Name(t), err)
	}
	more, err := m.trailing(t, value)
	if err != nil {
		return nil, err
	}
	return m.allocate(size+more, ctype.Name(t))
}

const (
	blockSize = 1 << 20
	maxObject = 64 << 20
	// apart is how far objects are from each other, so that a pointer behind one
	// leads nowhere, and the alignment of all, in bytes.
	apart = 64
)

// allocate makes zeroed room and notes the object.
func (m *Memory) allocate(size int, typ string) ([]byte, error) {
	if size > maxObject {
		return nil, fmt.Errorf("an object of %d bytes is larger than %d MiB", size, maxObject>>20)
	}
	whole := (size+apart-1)/apart*apart + apart
	if whole > len(m.free) {
		block, err := mem.New(uint64(max(whole, blockSize)))
		if err != nil {
			return nil, err
		}
		m.blocks, m.free = append(m.blocks, block), block.Bytes()
	}
	b := m.free[:size:size]
	m.free = m.free[whole:]
	m.objects = append(m.objects, exec.Object{Addr: exec.Addr(b), Size: uintptr(size), Type: typ})
	return b, nil
}

// find gives the index of the object at an address.
func (m *Memory) find(addr uint64) int {
	for i := range m.objects {
		if uint64(m.objects[i].Addr) == addr {
			return i
		}
	}
	return -1
}
