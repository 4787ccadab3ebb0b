package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

type sizedType struct {
	typ  btf.Type
	size int // bytes
}

// forcedType reads map=type.
func forcedType(spec *ebpf.CollectionSpec, s string) (string, sizedType, error) {
	name, typeName, ok := strings.Cut(s, "=")
	if !ok {
		return "", sizedType{}, usagef("--event %s: want map=type", s)
	}
	if spec.Types == nil {
		return "", sizedType{}, fmt.Errorf("--event %s: the object has no type information (BTF); build it with -g", s)
	}
	found, err := spec.Types.AnyTypesByName(strings.TrimPrefix(typeName, "struct "))
	if err != nil {
		return "", sizedType{}, fmt.Errorf("--event %s: type %s: %w", s, typeName, err)
	}
	for _, t := range found {
		if st, ok := withSize(t); ok {
			return name, st, nil
		}
	}
	return "", sizedType{}, fmt.Errorf("--event %s: %s is no type of data", s, typeName)
}

// pointedTypes are the structs that global pointer variables of the object point
// to. It is how authors keep an event's type in an object that no map names:
//
//	const struct event *unused __attribute__((unused));
func pointedTypes(spec *ebpf.CollectionSpec) []sizedType {
	var types []sizedType
	for _, name := range slices.Sorted(maps.Keys(spec.Variables)) {
		v := spec.Variables[name]
		if v.Type == nil {
			continue
		}
		p, ok := btf.UnderlyingType(v.Type.Type).(*btf.Pointer)
		if !ok {
			continue
		}
		if s, ok := btf.UnderlyingType(p.Target).(*btf.Struct); ok {
			types = append(types, sizedType{s, int(s.Size)})
		}
	}
	return types
}

func withSize(t btf.Type) (sizedType, bool) {
	if t == nil {
		return sizedType{}, false
	}
	size, err := btf.Sizeof(t)
	return sizedType{t, size}, err == nil && size > 0
}

// typeAmong is what a record of n bytes is: the only type there is, or the only one
// of this size, give or take perf's padding; nil where that is not clear.
func typeAmong(types []sizedType, n int, perf bool) btf.Type {
	if len(types) == 1 {
		return types[0].typ
	}
	var match btf.Type
	for _, t := range types {
		if t.size == n || perf && t.size < n && n-t.size < 8 {
			if match != nil {
				return nil
			}
			match = t.typ
		}
	}
	return match
}
