package verifier

import (
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/vm/maps"
)

// newMap describes a map.
func newMap(spec *ebpf.MapSpec) *Map {
	m := &Map{MapSpec: spec, Fields: fieldsOf(spec), Frozen: contentsOf(spec)}
	if spec.InnerMap != nil {
		m.Inner = newMap(spec.InnerMap)
	}
	return m
}

// fieldsOf are the special fields of a map's values. What Linux finds wrong in them it
// takes as none, and lets programs find out.
func fieldsOf(spec *ebpf.MapSpec) maps.Fields {
	if spec.Value == nil {
		return nil
	}
	if size, err := btf.Sizeof(spec.Value); err != nil || uint32(size) != spec.ValueSize {
		return nil
	}
	fields, err := maps.FieldsOf(spec.Value, maps.ValueFields)
	if err != nil {
		return nil
	}
	return fields
}

// contentsOf are the contents of a map of constants, which loaders freeze; nil of any
// other.
func contentsOf(spec *ebpf.MapSpec) []byte {
	constant := strings.HasPrefix(spec.Name, ".rodata") || strings.HasPrefix(spec.Name, ".kconfig")
	if !constant || spec.Type != ebpf.Array || spec.MaxEntries != 1 || spec.Flags&maps.FlagRdonlyProg == 0 {
		return nil
	}
	contents := make([]byte, spec.ValueSize)
	for _, kv := range spec.Contents {
		if value, ok := kv.Value.([]byte); ok {
			copy(contents, value)
		}
	}
	return contents
}
