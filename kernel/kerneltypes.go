package kernel

import (
	"fmt"
	"maps"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/ctype"
)

// runningTypes are the running kernel's types. To read them takes longer than all else that
// loading does, so it is done where they are needed, and once.
var runningTypes = btf.NewCache()

func hasType[T btf.Type](types *btf.Spec, name string) bool {
	_, ok := ctype.Find[T](types, name)
	return ok
}

// kernelID is the number of one of the kernel's types.
func kernelID[T btf.Type](name string) (btf.TypeID, error) {
	types, err := runningTypes.Kernel()
	if err != nil {
		return 0, err
	}
	t, ok := ctype.Find[T](types, name)
	if !ok {
		return 0, fmt.Errorf("the kernel has no %s: %w", name, btf.ErrNotFound)
	}
	return types.TypeID(t)
}

// numberKfuncs has a spec's programs, which stay as they are for others, call kernel
// functions by number where cilium/ebpf finds several of a name: it takes NAME___v2 and
// its kin for NAME.
func numberKfuncs(spec *ebpf.CollectionSpec) {
	all := maps.Clone(spec.Programs)
	for name, p := range spec.Programs {
		for i := range p.Instructions {
			if !p.Instructions[i].IsKfuncCall() {
				continue
			}
			types, err := runningTypes.Kernel()
			if err != nil {
				return // who loads the program says it
			}
			function := p.Instructions[i].Reference()
			if types.TypeByName(function, new(*btf.Func)) == nil {
				continue
			}
			id, err := kernelID[*btf.Func](function)
			if err != nil {
				continue // there is none
			}
			if all[name] == p {
				all[name] = p.Copy()
			}
			all[name].Instructions[i] = numbered(&p.Instructions[i], id)
		}
	}
	spec.Programs = all
}

// numbered is a call of the kernel function with a number.
func numbered(call *asm.Instruction, id btf.TypeID) asm.Instruction {
	to := asm.Instruction{OpCode: call.OpCode, Src: call.Src, Constant: int64(id)}
	if name := call.Symbol(); name != "" {
		to = to.WithSymbol(name)
	}
	if line := call.Source(); line != nil {
		to = to.WithSource(line)
	}
	if fn := btf.FuncMetadata(call); fn != nil {
		to = btf.WithFuncMetadata(to, fn)
	}
	return to
}
