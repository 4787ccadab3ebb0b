package kernel

import (
	"maps"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/ctype"
)

// own is what skep loads itself, as cilium/ebpf cannot: it does not tell Linux what
// security hook a program for processes of cgroups is for; and it loads the types of each
// map and program for themselves, where those of a map that keeps what programs allocate,
// in lists, trees or by pointers, have to be the program's own.
type own struct {
	maps, programs []string
}

// ownOf finds what of a spec is skep's to load; given are maps that exist.
func ownOf(spec *ebpf.CollectionSpec, given map[string]*ebpf.Map) (o own, err error) {
	for _, name := range slices.Sorted(maps.Keys(spec.Maps)) {
		if keeps, err := keepsObjects(spec.Maps[name].Value, 0); err != nil {
			return o, err
		} else if keeps && given[name] == nil {
			o.maps = append(o.maps, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Programs)) {
		if p := spec.Programs[name]; p.AttachType == ebpf.AttachLSMCgroup || o.usedBy(p) {
			o.programs = append(o.programs, name)
		}
	}
	return o, nil
}

// usedBy reports whether a program uses one of the maps.
func (o *own) usedBy(p *ebpf.ProgramSpec) bool {
	for i := range p.Instructions {
		if ins := &p.Instructions[i]; ins.IsLoadFromMap() && slices.Contains(o.maps, ins.Reference()) {
			return true
		}
	}
	return false
}

// leaveTo takes what is skep's to load out of a spec for cilium/ebpf.
func (o *own) leaveTo(spec *ebpf.CollectionSpec) {
	for _, name := range o.programs {
		delete(spec.Programs, name)
	}
	if len(o.maps) == 0 {
		return
	}
	spec.Maps, spec.Variables = maps.Clone(spec.Maps), maps.Clone(spec.Variables)
	for _, name := range o.maps {
		delete(spec.Maps, name)
	}
	maps.DeleteFunc(spec.Variables, func(_ string, v *ebpf.VariableSpec) bool { return slices.Contains(o.maps, v.SectionName) })
}

// keepsObjects reports whether values of a type keep what programs allocate: in a list, a
// tree, or by a pointer to one of the object's own types.
func keepsObjects(t btf.Type, depth int) (bool, error) {
	if depth > ctype.MaxDepth {
		return false, nil
	}
	var parts []btf.Type
	switch t := btf.UnderlyingType(t).(type) {
	case *btf.Struct:
		if t.Name == "bpf_list_head" || t.Name == "bpf_rb_root" {
			return true, nil
		}
		for _, m := range t.Members {
			parts = append(parts, m.Type)
		}
	case *btf.Datasec:
		for _, v := range t.Vars {
			parts = append(parts, v.Type)
		}
	case *btf.Var:
		parts = append(parts, t.Type)
	case *btf.Array:
		parts = append(parts, t.Type)
	case *btf.Pointer:
		return isLocalKptr(t)
	}
	for _, part := range parts {
		if keeps, err := keepsObjects(part, depth+1); keeps || err != nil {
			return keeps, err
		}
	}
	return false, nil
}

// isLocalKptr reports whether a pointer keeps an object of a type that the kernel lacks.
func isLocalKptr(p *btf.Pointer) (bool, error) {
	tag, ok := p.Target.(*btf.TypeTag)
	if !ok || tag.Value != "kptr" && tag.Value != "percpu_kptr" {
		return false, nil
	}
	types, err := runningTypes.Kernel()
	if err != nil {
		return false, err
	}
	return !hasType[*btf.Struct](types, btf.UnderlyingType(tag.Type).TypeName()), nil
}

// contents are the first bytes of a section's map, with what variables were set to.
func contents(spec *ebpf.CollectionSpec, name string) []ebpf.MapKV {
	all := slices.Clone(spec.Maps[name].Contents)
	for i, kv := range all {
		section, ok := kv.Value.([]byte)
		if !ok {
			continue
		}
		section = slices.Clone(section)
		for _, v := range spec.Variables {
			if v.SectionName == name {
				copy(section[v.Offset:], v.Value)
			}
		}
		all[i].Value = section
	}
	return all
}

// kernelType is a type as Linux takes it, which has no externs.
func kernelType(t btf.Type) btf.Type {
	switch t := t.(type) {
	case *btf.Func:
		if t.Linkage == btf.ExternFunc {
			return placeholder()
		}
	case *btf.Var:
		if t.Linkage == btf.ExternVar {
			return placeholder()
		}
	case *btf.Datasec:
		for _, v := range t.Vars {
			if in, ok := v.Type.(*btf.Var); !ok || in.Linkage == btf.ExternVar {
				return placeholder() // of externs, which are in no map
			}
		}
	}
	return t
}

// placeholder is a type that says nothing.
func placeholder() btf.Type { return &btf.Pointer{Target: new(btf.Void)} }
