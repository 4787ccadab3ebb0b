package program

import (
	"iter"
	"strings"

	"github.com/cilium/ebpf"
)

// Subset gives the part of a spec that some programs need: they, the programs
// in the program arrays that they use, the structures of operations that they are
// part of, and all these programs' maps with their variables. The rest of an object
// need not be runnable then.
func Subset(spec *ebpf.CollectionSpec, progs ...string) (*ebpf.CollectionSpec, error) {
	s := subset{from: spec, to: &ebpf.CollectionSpec{
		Programs:  make(map[string]*ebpf.ProgramSpec),
		Maps:      make(map[string]*ebpf.MapSpec),
		Variables: make(map[string]*ebpf.VariableSpec),
		Types:     spec.Types,
		ByteOrder: spec.ByteOrder,
	}}
	for _, name := range progs {
		if spec.Programs[name] == nil {
			return nil, noProgram(spec, name)
		}
		s.addProgram(name)
	}
	for name, v := range spec.Variables {
		if s.to.Maps[v.SectionName] != nil {
			s.to.Variables[name] = v
		}
	}
	return s.to, nil
}

type subset struct{ from, to *ebpf.CollectionSpec }

func (s *subset) addProgram(name string) {
	p := s.from.Programs[name]
	if p == nil || s.to.Programs[name] != nil {
		return
	}
	s.to.Programs[name] = p
	for i := range p.Instructions {
		if ins := &p.Instructions[i]; ins.IsLoadFromMap() {
			s.addMap(ins.Reference())
		}
	}
	if p.Type == ebpf.StructOps {
		for m := range OperationsOf(s.from, name) {
			s.addMap(m)
		}
	}
}

func (s *subset) addMap(name string) {
	m := s.from.Maps[name]
	if m == nil || s.to.Maps[name] != nil {
		return
	}
	s.to.Maps[name] = m
	if m.Type == ebpf.StructOpsMap {
		for prog, p := range s.from.Programs {
			if isOperation(p, m) {
				s.addProgram(prog)
			}
		}
	}
	for _, kv := range m.Contents {
		ref, ok := kv.Value.(string)
		switch {
		case !ok:
		case m.Type == ebpf.ProgramArray:
			s.addProgram(ref)
		case m.Type == ebpf.ArrayOfMaps || m.Type == ebpf.HashOfMaps:
			s.addMap(ref)
		}
	}
}

// OperationsOf gives the names of the maps that are structures of operations of which a
// program is one.
func OperationsOf(spec *ebpf.CollectionSpec, prog string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for name, m := range spec.Maps {
			if isOperation(spec.Programs[prog], m) && !yield(name) {
				return
			}
		}
	}
}

// isOperation says whether a program is for a structure of operations; its target is the
// structure's type and a field of it.
func isOperation(p *ebpf.ProgramSpec, m *ebpf.MapSpec) bool {
	if p == nil || p.Type != ebpf.StructOps || m.Type != ebpf.StructOpsMap {
		return false
	}
	ops, _, _ := strings.Cut(p.AttachTo, ":")
	return m.Value != nil && m.Value.TypeName() == ops
}
