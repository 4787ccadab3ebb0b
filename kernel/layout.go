package kernel

import (
	"slices"

	"github.com/cilium/ebpf/btf"
)

// maxDepth bounds how deep types are compared.
const maxDepth = 32

// sameLayout reports whether values of two types mean the same, whatever the types are
// called. Where one of them is not known they may.
func sameLayout(a, b btf.Type, depth int) bool {
	if depth > maxDepth || unknownType(a) || unknownType(b) {
		return true
	}
	a, b = btf.UnderlyingType(a), btf.UnderlyingType(b)
	switch a := a.(type) {
	case *btf.Int:
		b, ok := b.(*btf.Int)
		return ok && a.Size == b.Size && a.Encoding == b.Encoding
	case *btf.Enum:
		b, ok := b.(*btf.Enum)
		return ok && a.Size == b.Size && a.Signed == b.Signed && slices.Equal(a.Values, b.Values)
	case *btf.Array:
		b, ok := b.(*btf.Array)
		return ok && a.Nelems == b.Nelems && sameLayout(a.Type, b.Type, depth+1)
	case *btf.Struct:
		b, ok := b.(*btf.Struct)
		return ok && a.Size == b.Size && sameMembers(a.Members, b.Members, depth)
	case *btf.Union:
		b, ok := b.(*btf.Union)
		return ok && a.Size == b.Size && sameMembers(a.Members, b.Members, depth)
	case *btf.Datasec:
		b, ok := b.(*btf.Datasec)
		return ok && a.Size == b.Size && slices.EqualFunc(a.Vars, b.Vars, func(a, b btf.VarSecinfo) bool {
			return a.Offset == b.Offset && a.Size == b.Size && a.Type.TypeName() == b.Type.TypeName() && sameLayout(a.Type, b.Type, depth+1)
		})
	case *btf.Var:
		b, ok := b.(*btf.Var)
		return ok && sameLayout(a.Type, b.Type, depth+1)
	case *btf.Float:
		b, ok := b.(*btf.Float)
		return ok && a.Size == b.Size
	case *btf.Pointer:
		_, ok := b.(*btf.Pointer)
		return ok
	}
	return a.TypeName() == b.TypeName()
}

func sameMembers(a, b []btf.Member, depth int) bool {
	return slices.EqualFunc(a, b, func(a, b btf.Member) bool {
		return a.Name == b.Name && a.Offset == b.Offset && a.BitfieldSize == b.BitfieldSize && sameLayout(a.Type, b.Type, depth+1)
	})
}

func unknownType(t btf.Type) bool {
	_, void := t.(*btf.Void)
	return t == nil || void
}
