package program

import "github.com/cilium/ebpf"

// Subset gives the part of a spec that some programs need: they, the programs
// in the program arrays that they use, and all these programs' maps with their
// variables. The rest of an object need not be runnable then.
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
}

func (s *subset) addMap(name string) {
	m := s.from.Maps[name]
	if m == nil || s.to.Maps[name] != nil {
		return
	}
	s.to.Maps[name] = m
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
