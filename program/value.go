package program

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf/btf"
)

// putValue writes a value into zeroed memory of a type's size; see
// [Program.Set] for the forms.
func putValue(dst []byte, typ btf.Type, text string) error {
	if putAddress(dst, typ, text) {
		return nil
	}
	switch t := btf.UnderlyingType(typ).(type) {
	case *btf.Int:
		return putNumber(dst, typ, t, text)
	case *btf.Enum:
		return putEnum(dst, t, text)
	case *btf.Array:
		return putArray(dst, t, text)
	case *btf.Struct, *btf.Union:
		return fmt.Errorf("it has fields: set one at a time, as in name.%s=%s", firstMember(t), text)
	}
	return errors.New("values of this type cannot be written as text")
}

// putAddress writes a network address where the type has its size and is not a
// text, and reports whether it did.
func putAddress(dst []byte, typ btf.Type, text string) bool {
	var addr []byte
	if ip, err := netip.ParseAddr(text); err == nil && ip.Zone() == "" {
		addr = ip.AsSlice()
	} else if mac, err := net.ParseMAC(text); err == nil {
		addr = mac
	}
	if addr == nil || len(addr) != len(dst) || isText(typ) {
		return false
	}
	copy(dst, addr)
	return true
}

// isText reports whether a type is an array of char.
func isText(typ btf.Type) bool {
	array, ok := btf.UnderlyingType(typ).(*btf.Array)
	if !ok {
		return false
	}
	elem, ok := btf.UnderlyingType(array.Type).(*btf.Int)
	return ok && elem.Size == 1 && (elem.Encoding == btf.Char || elem.Name == "char")
}

func putNumber(dst []byte, typ btf.Type, t *btf.Int, text string) error {
	switch {
	case t.Encoding == btf.Bool:
		return putBool(dst, text)
	case t.Size == 0 || t.Size > 8:
		return fmt.Errorf("numbers of %d bytes are not supported", t.Size)
	}
	v, err := parseInt(text, int(t.Size), t.Encoding == btf.Signed)
	if err != nil {
		return err
	}
	if err := putInt(dst, v); err != nil {
		return err
	}
	if isNetworkOrder(typ) {
		slices.Reverse(dst)
	}
	return nil
}

func putBool(dst []byte, text string) error {
	switch text {
	case "true", "y", "1":
		return putInt(dst, 1)
	case "false", "n", "0":
		return putInt(dst, 0)
	}
	return fmt.Errorf("%q is neither y nor n", text)
}

// isNetworkOrder reports whether a type is one of the kernel's big-endian ones.
func isNetworkOrder(typ btf.Type) bool {
	for range maxDepth {
		t, ok := unqualified(typ).(*btf.Typedef)
		if !ok {
			return false
		}
		if t.Name == "__be16" || t.Name == "__be32" || t.Name == "__be64" {
			return true
		}
		typ = t.Type
	}
	return false
}

func putEnum(dst []byte, t *btf.Enum, text string) error {
	var names []string
	for _, v := range t.Values {
		if v.Name == text {
			return putInt(dst, v.Value)
		}
		names = append(names, v.Name)
	}
	if v, err := parseInt(text, int(t.Size), t.Signed); err == nil {
		return putInt(dst, v)
	}
	return fmt.Errorf("%q is none of its values%s", text, suggest(text, names))
}

func putArray(dst []byte, t *btf.Array, text string) error {
	if isText(t) {
		if len(text) >= len(dst) {
			return fmt.Errorf("%q has %d characters, and there is room for %d", text, len(text), max(len(dst)-1, 0))
		}
		copy(dst, text)
		return nil
	}
	size, err := btf.Sizeof(t.Type)
	if err != nil || size == 0 {
		return errors.New("its elements have no size")
	}
	values := strings.Split(text, ",")
	if len(values) > len(dst)/size {
		return fmt.Errorf("%d values are too many for %d elements", len(values), len(dst)/size)
	}
	for i, v := range values {
		if err := putValue(dst[i*size:(i+1)*size], t.Type, strings.TrimSpace(v)); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	return nil
}

func firstMember(typ btf.Type) string {
	if ms := members(typ); len(ms) > 0 && ms[0].Name != "" {
		return ms[0].Name
	}
	return "field"
}

// parseInt reads a decimal, hexadecimal (0x), octal (0) or binary (0b) number
// that must fit into size bytes.
func parseInt(text string, size int, signed bool) (uint64, error) {
	bits := size * 8
	if signed {
		v, err := strconv.ParseInt(text, 0, bits)
		if err != nil {
			return 0, fmt.Errorf("%q is not a number from %d to %d", text, int64(-1)<<(bits-1), int64(uint64(1)<<(bits-1)-1))
		}
		return uint64(v), nil
	}
	v, err := strconv.ParseUint(text, 0, bits)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number from 0 to %d", text, uint64(1)<<bits-1)
	}
	return v, nil
}

// typeName is a type as C names it.
func typeName(typ btf.Type) string { return cName(typ, 0) }

func cName(typ btf.Type, depth int) string {
	if depth > maxDepth {
		return "..."
	}
	switch t := unqualified(typ).(type) {
	case *btf.Array:
		return fmt.Sprintf("%s[%d]", cName(t.Type, depth+1), t.Nelems)
	case *btf.Pointer:
		return cName(t.Target, depth+1) + " *"
	case *btf.Struct:
		return strings.TrimSpace("struct " + t.Name)
	case *btf.Union:
		return strings.TrimSpace("union " + t.Name)
	case *btf.Enum:
		return strings.TrimSpace("enum " + t.Name)
	case *btf.Void:
		return "void"
	case *btf.Var:
		return cName(t.Type, depth+1)
	default:
		return t.TypeName()
	}
}
