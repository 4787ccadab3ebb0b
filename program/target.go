package program

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// Types gives the types that a spec's CO-RE relocations aim at.
func (o *LinkOptions) Types(spec *ebpf.CollectionSpec) (*btf.Spec, error) {
	l := &linker{spec: spec, opts: o}
	types, _, err := l.target()
	return types, err
}
