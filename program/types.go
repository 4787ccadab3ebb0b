package program

import (
	"fmt"

	"github.com/cilium/ebpf/btf"
)

// checkTypes refuses types that contain themselves other than through a pointer:
// such a type has no size.
func checkTypes(types *btf.Spec) error {
	if types == nil {
		return nil
	}
	finite := make(map[btf.Type]bool) // false while the type is being looked into
	for typ, err := range types.All() {
		if err != nil {
			return fmt.Errorf("read types: %w", err)
		}
		if err := checkFinite(typ, finite, 0); err != nil {
			return err
		}
	}
	return nil
}

// maxNesting bounds how deep types lie in each other. C code stays far below.
const maxNesting = 1000

func checkFinite(typ btf.Type, finite map[btf.Type]bool, depth int) error {
	done, seen := finite[typ]
	switch {
	case done:
		return nil
	case seen:
		return fmt.Errorf("types are cyclic: %s contains itself", typeName(typ))
	case depth > maxNesting:
		return fmt.Errorf("types are nested more than %d deep", maxNesting)
	}
	finite[typ] = false
	for _, part := range parts(typ) {
		if err := checkFinite(part, finite, depth+1); err != nil {
			return err
		}
	}
	finite[typ] = true
	return nil
}

// parts gives the types that a type holds by value.
func parts(typ btf.Type) []btf.Type {
	var held []btf.Type
	switch t := typ.(type) {
	case *btf.Typedef:
		held = []btf.Type{t.Type}
	case *btf.Const:
		held = []btf.Type{t.Type}
	case *btf.Volatile:
		held = []btf.Type{t.Type}
	case *btf.Restrict:
		held = []btf.Type{t.Type}
	case *btf.TypeTag:
		held = []btf.Type{t.Type}
	case *btf.Array:
		held = []btf.Type{t.Type}
	case *btf.Var:
		held = []btf.Type{t.Type}
	default:
		for _, m := range members(typ) {
			held = append(held, m.Type)
		}
	}
	return held
}
