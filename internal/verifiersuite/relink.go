package verifiersuite

import (
	"encoding/binary"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier/kernels"
	"github.com/skep-ebpf/skep/vm/maps"
)

// The instructions of a case are those that a loader made for the kernel that it ran
// on, which is not always the one whose types are at hand: CO-RE relocations hold
// offsets and ids of that kernel, and calls of functions that it lacked are poisoned.
// Both are made anew from the object, as are jump tables, whose contents it does not say.

// Program is the case's object as libbpf was given it. It is read once: who changes it
// changes a copy.
func (c *Case) Program() (*program.Program, error) {
	s := c.suite
	if p := s.opened[c.File]; p != nil {
		return p, nil
	}
	p, err := program.Open(c.object())
	if err != nil {
		return nil, err
	}
	if s.opened == nil {
		s.opened = make(map[string]*program.Program)
	}
	s.opened[c.File] = p
	return p, nil
}

// relink takes from the object what depends on the kernel's types. What cannot be
// linked stays as it was loaded.
func (c *Case) relink(img *program.Image, specs map[string]*ebpf.MapSpec) {
	p, err := c.Program()
	if err != nil {
		return
	}
	linked, err := program.Link(p.Spec, c.Func, &program.LinkOptions{KernelTypes: c.suite.Types, HasKfunc: c.hasKfunc})
	if err != nil || len(linked.Insns) != len(img.Insns) {
		return
	}
	// Functions may be in another order.
	for _, fn := range img.Funcs {
		if from, ok := start(linked, fn.Name); ok {
			c.relinkFunction(img, linked, fn.Start, from)
			fillTables(img, linked, fn.Start, from, func(at, from int32) (to, table *ebpf.MapSpec) {
				return specs[img.Maps[at]], p.Spec.Maps[linked.Maps[from]]
			})
		}
	}
	if at := linked.Exception; at != 0 {
		img.Exception, _ = start(img, linked.FuncAt(at).Name)
	}
}

// relinkFunction is relink of the function that begins at an instruction, and in the
// linked image at another.
func (c *Case) relinkFunction(img, linked *program.Image, at, from int) {
	for name := img.FuncAt(at).Name; at < len(img.Insns) && img.FuncAt(at).Name == name; at, from = at+1, from+1 {
		was, now := &img.Insns[at], linked.Insns[from]
		switch {
		case linked.Kfuncs[from] != nil:
			*was, img.Kfuncs[at] = now, c.kfunc(linked.Kfuncs[from])
		case relocated(was, now):
			*was = now
		}
	}
}

// fillTables gives the jump tables of a function the contents that linking gave them.
func fillTables(img, linked *program.Image, at, from int, specs func(at, from int32) (to, table *ebpf.MapSpec)) {
	moved := uint32(at - from)
	for name := img.FuncAt(at).Name; at < len(img.Insns) && img.FuncAt(at).Name == name; at, from = at+1, from+1 {
		was, now := img.Insns[at], linked.Insns[from]
		if !was.IsWide() || was.Src != isa.PseudoMapValue || was.Imm < 0 || now.Src != was.Src {
			continue
		}
		to, table := specs(was.Imm, now.Imm)
		if to == nil || table == nil || to.Type != maps.TypeInsnArray || to.Contents != nil {
			continue
		}
		for _, kv := range table.Contents {
			value := slices.Clone(kv.Value.([]byte))
			binary.LittleEndian.PutUint32(value, binary.LittleEndian.Uint32(value)+moved)
			to.Contents = append(to.Contents, ebpf.MapKV{Key: kv.Key, Value: value})
		}
	}
}

// start is where a function begins.
func start(img *program.Image, name string) (int, bool) {
	for _, fn := range img.Funcs {
		if fn.Name == name {
			return fn.Start, true
		}
	}
	return 0, false
}

// relocated reports whether an instruction differs from what it was by what CO-RE
// relocations change.
func relocated(was *isa.Instruction, now isa.Instruction) bool {
	if was.Op != now.Op || was.Dst != now.Dst || was.Src != now.Src {
		return false
	}
	switch now.Class() {
	case isa.ClassLDX, isa.ClassST, isa.ClassSTX, isa.ClassALU, isa.ClassALU64:
		return true
	case isa.ClassLD:
		return now.IsWide() && now.Src == 0
	}
	return false
}

// hasKfunc reports whether the case's kernel has a function: in its types or, where
// no Linux is known to have it, in a test module.
func (c *Case) hasKfunc(name string) bool {
	var fn *btf.Func
	_, known := kernels.KfuncByName(name)
	return !known || c.suite.Types.TypeByName(name, &fn) == nil
}

// kfunc is a kernel function as the kernel's types have it, and one of a test module
// as the program declares it.
func (c *Case) kfunc(declared *btf.Func) *btf.Func {
	var fn *btf.Func
	if c.suite.Types.TypeByName(declared.Name, &fn) == nil {
		return fn
	}
	return declared
}
