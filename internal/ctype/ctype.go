// Package ctype is what C says of BTF types: their names, what is behind their
// qualifiers, and which values of theirs people write as text.
//
// Types are followed a bounded number of steps, as those of a hostile object may
// refer to themselves.
package ctype

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/cilium/ebpf/btf"
)

// MaxDepth is how many steps types are followed.
const MaxDepth = 32

// Unqualified strips what does not change a type's memory, and keeps typedefs.
func Unqualified(typ btf.Type) btf.Type {
	for range MaxDepth {
		switch t := typ.(type) {
		case *btf.Const:
			typ = t.Type
		case *btf.Volatile:
			typ = t.Type
		case *btf.Restrict:
			typ = t.Type
		case *btf.TypeTag:
			typ = t.Type
		default:
			return typ
		}
	}
	return typ
}

// Named gives the types of exactly this name. The Spec's own search gives others beside
// them, where several differ from it by what is behind three underscores.
func Named(types *btf.Spec, name string) []btf.Type {
	if types == nil || name == "" {
		return nil
	}
	all, err := types.AnyTypesByName(name)
	if err != nil { // only that there is none
		return nil
	}
	return slices.DeleteFunc(all, func(t btf.Type) bool { return t.TypeName() != name })
}

// Find gives the first type of a name that is of kind T.
func Find[T btf.Type](types *btf.Spec, name string) (t T, ok bool) {
	for _, any := range Named(types, name) {
		if t, ok = any.(T); ok {
			return t, true
		}
	}
	return t, false
}

// Members are the fields of a structure or union, none of any other type.
func Members(typ btf.Type) []btf.Member {
	switch t := btf.UnderlyingType(typ).(type) {
	case *btf.Struct:
		return t.Members
	case *btf.Union:
		return t.Members
	}
	return nil
}

// Name is a type as C names it.
func Name(typ btf.Type) string { return name(typ, 0) }

func name(typ btf.Type, depth int) string {
	if depth > MaxDepth {
		return "..."
	}
	switch t := Unqualified(typ).(type) {
	case *btf.Array:
		return fmt.Sprintf("%s[%d]", name(t.Type, depth+1), t.Nelems)
	case *btf.Pointer:
		return name(t.Target, depth+1) + " *"
	case *btf.Struct:
		return strings.TrimSpace("struct " + t.Name)
	case *btf.Union:
		return strings.TrimSpace("union " + t.Name)
	case *btf.Enum:
		return strings.TrimSpace("enum " + t.Name)
	case *btf.Void:
		return "void"
	case *btf.Var:
		return name(t.Type, depth+1)
	default:
		return t.TypeName()
	}
}

// IsText reports whether a type is an array of char.
func IsText(typ btf.Type) bool {
	array, ok := btf.UnderlyingType(typ).(*btf.Array)
	if !ok {
		return false
	}
	elem, ok := btf.UnderlyingType(array.Type).(*btf.Int)
	return ok && elem.Size == 1 && (elem.Encoding == btf.Char || elem.Name == "char")
}

// IsBigEndian reports whether a type is one of the kernel's that hold numbers in
// network byte order.
func IsBigEndian(typ btf.Type) bool {
	for range MaxDepth {
		t, ok := Unqualified(typ).(*btf.Typedef)
		if !ok {
			return false
		}
		switch t.Name {
		case "__be16", "__be32", "__be64":
			return true
		}
		typ = t.Type
	}
	return false
}

// PrefixBits is how many bits the address of a key of an LPM trie has: of a struct that
// begins with a 32-bit number with "prefix" in its name. 0: the type is none.
func PrefixBits(typ btf.Type) int {
	members := Members(typ)
	if len(members) < 2 || !strings.Contains(members[0].Name, "prefix") || members[1].Offset != 32 {
		return 0
	}
	bits, ok := btf.UnderlyingType(members[0].Type).(*btf.Int)
	size, err := btf.Sizeof(typ)
	if !ok || bits.Size != 4 || err != nil || size != 4+4 && size != 4+16 {
		return 0
	}
	return 8 * (size - 4)
}

// PutPrefix writes a prefix such as 10.0.0.0/8, or an address as one of all its bits, where
// the type is a key of an LPM trie, and reports whether it did.
func PutPrefix(dst []byte, typ btf.Type, text string) bool {
	prefix, err := netip.ParsePrefix(text)
	if addr, wrong := netip.ParseAddr(text); wrong == nil && addr.Zone() == "" {
		prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	if err != nil || prefix.Addr().BitLen() != PrefixBits(typ) {
		return false
	}
	binary.NativeEndian.PutUint32(dst, uint32(prefix.Bits()))
	copy(dst[4:], prefix.Masked().Addr().AsSlice())
	return true
}

// PutAddress writes a network address (IPv4, IPv6, MAC) where the type has its
// size and is neither a text nor a pointer, and reports whether it did.
func PutAddress(dst []byte, typ btf.Type, text string) bool {
	var addr []byte
	if ip, err := netip.ParseAddr(text); err == nil && ip.Zone() == "" {
		addr = ip.AsSlice()
	} else if mac, err := net.ParseMAC(text); err == nil {
		addr = mac
	}
	size, err := btf.Sizeof(typ)
	if addr == nil || err != nil || len(addr) != size || IsText(typ) {
		return false
	}
	if _, pointer := btf.UnderlyingType(typ).(*btf.Pointer); pointer {
		return false
	}
	copy(dst, addr)
	return true
}
