package program

import (
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/ctype"
)

// CheckTypes refuses types that contain themselves other than through a pointer:
// such a type has no size.
func CheckTypes(types *btf.Spec) error {
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
		return fmt.Errorf("types are cyclic: %s contains itself", ctype.Name(typ))
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
		for _, m := range ctype.Members(typ) {
			held = append(held, m.Type)
		}
	}
	return held
}

// maxTypes bounds how many types an object may have: cilium/ebpf follows them
// from one to the next on the stack. Linux itself has 150,000.
const maxTypes = 250_000

// countTypes refuses a .BTF section with too many types. What else may be wrong
// with it is cilium/ebpf's to say.
func countTypes(section []byte) error {
	const headerLen, common = 24, 12 // struct btf_header, struct btf_type
	if len(section) < headerLen {
		return nil
	}
	start := uint64(binary.LittleEndian.Uint32(section[4:])) + uint64(binary.LittleEndian.Uint32(section[8:]))
	size := uint64(binary.LittleEndian.Uint32(section[12:]))
	if start > uint64(len(section)) {
		return nil
	}
	types := section[start:min(start+size, uint64(len(section)))]
	for n := 0; len(types) >= common; n++ {
		if n == maxTypes {
			return fmt.Errorf("object has more than %d types", maxTypes)
		}
		types = types[min(common+trailing(types), len(types)):]
	}
	return nil
}

// Kinds of types by what follows their common part (linux/btf.h).
const (
	kindInt       = 1
	kindArray     = 3
	kindStruct    = 4
	kindUnion     = 5
	kindEnum      = 6
	kindFuncProto = 13
	kindVar       = 14
	kindDatasec   = 15
	kindDeclTag   = 17
	kindEnum64    = 19
)

// trailing is the size in bytes of what follows a type's common part.
func trailing(typ []byte) int {
	info := binary.LittleEndian.Uint32(typ[4:])
	n := int(info & 0xffff)
	switch info >> 24 & 0x1f {
	case kindInt, kindVar, kindDeclTag:
		return 4
	case kindArray:
		return 12
	case kindStruct, kindUnion, kindDatasec, kindEnum64:
		return 12 * n
	case kindEnum, kindFuncProto:
		return 8 * n
	}
	return 0
}
