package helper

import (
	"fmt"

	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/memory"
)

// Kernel functions of subsystems look into the kernel's structures. Where their
// fields lie, the types say that the program was linked against; what is in them,
// the person who describes the structure.

// fields are fields of a structure, in the order in which they were asked for.
type fields struct {
	of    string // the structure
	all   []memory.Field
	bytes uint32 // that have all of the fields
}

// fieldsOf finds fields of a structure among the kernel's types.
func fieldsOf(types Types, of string, paths ...string) (*fields, error) {
	if types.Kernel == nil {
		return nil, fmt.Errorf("it looks into struct %s, and the kernel's types are not known", of)
	}
	kernel, err := types.Kernel()
	if err != nil {
		return nil, fmt.Errorf("it looks into struct %s: %w", of, err)
	}
	f := &fields{of: of}
	for _, path := range paths {
		field, err := memory.FieldOf(kernel, of, path)
		if err != nil {
			return nil, err
		}
		f.all = append(f.all, field)
		f.bytes = max(f.bytes, field.End())
	}
	return f, nil
}

// at is the structure at an address of the kernel's memory, or an error that says
// what is missing.
func (f *fields) at(s *exec.State, addr uint64) ([]byte, error) {
	if b := s.Env.Objects.Readable(addr, false); uint32(len(b)) >= f.bytes {
		return b, nil
	}
	return nil, fmt.Errorf("no struct %s is at 0x%x: describe one in the context's file (docs/structops.md)", f.of, addr)
}
