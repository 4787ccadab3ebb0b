package program

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
)

// ExternKind is what an extern symbol of a program stands for.
type ExternKind uint8

// The kinds of externs.
const (
	ExternUnresolved ExternKind = iota // nothing that skep knows
	ExternKconfig                      // a variable in .kconfig
	ExternKsym                         // the address of a kernel variable
	ExternKfunc                        // a kernel function, called or its address
)

// Extern is a symbol that an object uses and does not define.
type Extern struct {
	Name string
	Kind ExternKind
	Weak bool
	// Type is a *btf.Func for ExternKfunc, a *btf.Var for ExternKsym and
	// ExternKconfig, and nil otherwise.
	Type btf.Type

	kconfig *kconfig
}

// ksymsName is the section of kernel symbols, which exists in types only.
const ksymsName = ".ksyms"

type externKey struct{}

// ExternOf gives the extern that an instruction refers to, or nil. Only
// instructions of a spec that [Open] or [Read] gave know theirs.
func ExternOf(ins *asm.Instruction) *Extern {
	ext, _ := ins.Metadata.Get(externKey{}).(*Extern)
	return ext
}

// annotate attaches to the spec's instructions the externs that they refer to,
// given the undefined symbols by the place of the reference.
func (o *object) annotate(spec *ebpf.CollectionSpec, refs map[place]elf.Symbol) error {
	if len(refs) == 0 {
		return nil
	}
	externs, err := classify(refs, spec.Types)
	if err != nil {
		return err
	}
	funcs := o.functions()
	for _, prog := range spec.Programs {
		var at place // of the instruction that iter is at
		iter := prog.Instructions.Iterate()
		for iter.Next() {
			if name := iter.Ins.Symbol(); name != "" {
				at = funcs[name]
			}
			if sym, ok := refs[at]; ok {
				iter.Ins.Metadata.Set(externKey{}, externs[sym.Name])
			}
			at.offset += iter.Ins.Size()
		}
	}
	return nil
}

// classify finds out from the object's types what each undefined symbol is.
func classify(refs map[place]elf.Symbol, types *btf.Spec) (map[string]*Extern, error) {
	externs := make(map[string]*Extern)
	for _, sym := range refs {
		externs[sym.Name] = &Extern{Name: sym.Name, Weak: elf.ST_BIND(sym.Info) == elf.STB_WEAK}
	}
	config, err := datasec(types, kconfigName)
	if err != nil {
		return nil, err
	}
	kc := &kconfig{datasec: config, externs: externs}
	for name, v := range variables(config) {
		if ext := externs[name]; ext != nil {
			ext.Kind, ext.Type, ext.kconfig = ExternKconfig, v.Type, kc
		}
	}
	syms, err := datasec(types, ksymsName)
	if err != nil {
		return nil, err
	}
	for name, v := range variables(syms) {
		ext := externs[name]
		if ext == nil {
			continue
		}
		ext.Kind, ext.Type = ExternKsym, v.Type
		if _, ok := v.Type.(*btf.Func); ok {
			ext.Kind = ExternKfunc
		}
	}
	return externs, nil
}

// datasec gives a section of variables from the object's types, or nil.
func datasec(types *btf.Spec, name string) (*btf.Datasec, error) {
	if types == nil {
		return nil, nil
	}
	var ds *btf.Datasec
	if err := types.TypeByName(name, &ds); err != nil && !errors.Is(err, btf.ErrNotFound) {
		return nil, fmt.Errorf("read types of section %s: %w", name, err)
	}
	return ds, nil
}

// variables gives the variables and functions of a section by their names.
func variables(ds *btf.Datasec) map[string]btf.VarSecinfo {
	vars := make(map[string]btf.VarSecinfo)
	if ds != nil {
		for _, v := range ds.Vars {
			vars[v.Type.TypeName()] = v
		}
	}
	return vars
}

// strengthen makes weak symbols of maps and of .kconfig variables global in the
// object's bytes, because cilium/ebpf refuses the weak ones. That a variable is weak
// stays known from the symbols read before; of a map nobody asks.
func (o *object) strengthen() error {
	table := o.file.SectionByType(elf.SHT_SYMTAB)
	if table == nil {
		return nil
	}
	var variable map[string]btf.VarSecinfo
	for i, sym := range o.symbols {
		if elf.ST_BIND(sym.Info) != elf.STB_WEAK {
			continue
		}
		switch {
		case sym.Section == elf.SHN_UNDEF:
			if variable == nil {
				var err error
				if variable, err = o.kconfigVariables(); err != nil {
					return err
				}
			}
			if _, ok := variable[sym.Name]; !ok {
				continue
			}
		case int(sym.Section) >= len(o.file.Sections) || o.file.Sections[sym.Section].Name != mapsName:
			continue
		}
		const infoOffset = 4 // st_info in struct elf64_sym
		info := table.Offset + uint64(i+1)*elf.Sym64Size + infoOffset
		o.data[info] = elf.ST_INFO(elf.STB_GLOBAL, elf.ST_TYPE(sym.Info))
	}
	return nil
}

// mapsName is the section of maps.
const mapsName = ".maps"

// kconfigVariables are the object's, by their names.
func (o *object) kconfigVariables() (map[string]btf.VarSecinfo, error) {
	if o.file.Section(".BTF") == nil {
		return map[string]btf.VarSecinfo{}, nil
	}
	types, err := btf.LoadSpecFromReader(bytes.NewReader(o.data))
	if err != nil {
		return nil, fmt.Errorf("read types: %w", err)
	}
	ds, err := datasec(types, kconfigName)
	return variables(ds), err
}
