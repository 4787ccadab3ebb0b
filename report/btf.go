package report

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/ctype"
)

// strip takes typedefs and qualifiers off a type, and reports whether one of
// them says that the value is big-endian.
func strip(t btf.Type) (inner btf.Type, bigEndian bool, err error) {
	for range maxStrips {
		switch v := ctype.Unqualified(t).(type) {
		case *btf.Typedef:
			switch v.Name {
			case "__be16", "__be32", "__be64":
				bigEndian = true
			}
			t = v.Type
		case *btf.Var:
			t = v.Type
		case *btf.Const, *btf.Volatile, *btf.Restrict, *btf.TypeTag: // there are more of them
			t = v
		default:
			return v, bigEndian, nil
		}
	}
	return nil, false, errDeep
}

// unknown reports whether a type says nothing about bytes. cilium/ebpf gives
// void to the keys of a section of variables.
func unknown(t btf.Type) bool {
	_, void := t.(*btf.Void)
	return t == nil || void
}

// anonymous gives the members of a struct or union that is a member without a
// name of its own.
func anonymous(m btf.Member) ([]btf.Member, bool) {
	if m.Name != "" {
		return nil, false
	}
	t, _, err := strip(m.Type)
	if err != nil {
		return nil, false
	}
	switch t := t.(type) {
	case *btf.Struct:
		return t.Members, true
	case *btf.Union:
		return t.Members, true
	}
	return nil, false
}

// variables are a section's variables as members of a struct.
func variables(sec *btf.Datasec) []btf.Member {
	members := make([]btf.Member, 0, len(sec.Vars))
	for _, v := range sec.Vars {
		if t, ok := v.Type.(*btf.Var); ok {
			members = append(members, btf.Member{Name: t.Name, Type: t.Type, Offset: btf.Bits(v.Offset) * 8})
		}
	}
	return members
}

// slice gives the bytes of a member that is no bitfield.
func slice(data []byte, m btf.Member) ([]byte, error) {
	size, err := btf.Sizeof(m.Type)
	if err != nil {
		return nil, err
	}
	off := int(m.Offset.Bytes())
	if off > len(data) || size > len(data)-off {
		return nil, errShort
	}
	return data[off : off+size], nil
}

// bitfield gives the bits of a member.
func bitfield(data []byte, m btf.Member) (uint64, error) {
	first, bits := int(m.Offset), int(m.BitfieldSize)
	if bits > 64 || first+bits > 8*len(data) {
		return 0, errShort
	}
	var raw uint64
	for i := range bits {
		bit := first + i
		raw |= uint64(data[bit/8]>>(bit%8)&1) << i
	}
	return raw, nil
}

func littleEndian(data []byte) uint64 {
	var b [8]byte
	copy(b[:], data)
	return binary.LittleEndian.Uint64(b[:])
}

func signExtend(raw uint64, bits int) int64 {
	if bits <= 0 || bits >= 64 {
		return int64(raw)
	}
	return int64(raw<<(64-bits)) >> (64 - bits)
}

// enumerator finds the name of a value.
func enumerator(e *btf.Enum, raw uint64, bits int) (string, bool) {
	var mask uint64 = math.MaxUint64
	if bits < 64 {
		mask = 1<<bits - 1
	}
	for _, v := range e.Values {
		if v.Value&mask == raw&mask {
			return v.Name, true
		}
	}
	return "", false
}

// isChar reports whether an integer is C's plain char, which clang encodes as a
// signed integer of that name.
func isChar(i *btf.Int) bool { return i.Encoding == btf.Char || i.Name == "char" }

// cString gives the text up to the first NUL, if it is printable.
func cString(data []byte) (string, bool) {
	text, _, _ := bytes.Cut(data, []byte{0})
	if !utf8.Valid(text) {
		return "", false
	}
	for _, r := range string(text) {
		if !strconv.IsPrint(r) && !strings.ContainsRune("\t\n\r", r) {
			return "", false
		}
	}
	return string(text), true
}

// zeroes counts the zero bytes that data begins with.
func zeroes(data []byte) int {
	n := 0
	for n < len(data) && data[n] == 0 {
		n++
	}
	return n
}

// address recognises the two types whose name says that they are an address.
func address(t *btf.Struct, data []byte) (netip.Addr, bool) {
	if t.Name == "in_addr" && len(data) == 4 || t.Name == "in6_addr" && len(data) == 16 {
		return netip.AddrFromSlice(data)
	}
	return netip.Addr{}, false
}

// float appends a float of the sizes that there are literals for.
func (p *printer) float(data []byte) {
	var f float64
	switch len(data) {
	case 4:
		f = float64(math.Float32frombits(binary.LittleEndian.Uint32(data)))
	case 8:
		f = math.Float64frombits(binary.LittleEndian.Uint64(data))
	default:
		p.wide(data)
		return
	}
	s := strconv.FormatFloat(f, 'g', -1, 8*len(data))
	if math.IsNaN(f) || math.IsInf(f, 0) { // JSON has no such numbers
		p.str(s)
		return
	}
	p.buf = append(p.buf, s...)
}

// integerType reports whether values of a type are plain integers of up to
// eight bytes, and whether they are signed.
func integerType(t btf.Type) (signed, ok bool) {
	t, bigEndian, err := strip(t)
	if err != nil || bigEndian {
		return false, false
	}
	i, ok := t.(*btf.Int)
	if !ok || i.Size > 8 || i.Encoding == btf.Bool {
		return false, false
	}
	return i.Encoding == btf.Signed, true
}

// typeName is a type as C names it.
func typeName(t btf.Type) string { return declare(t, "", 0) }

// declare is a C declaration of a name, or with an empty name the type alone.
func declare(t btf.Type, name string, depth int) string {
	for ; depth < maxDepth; depth++ {
		switch v := t.(type) {
		case *btf.Pointer:
			name = "*" + name
			if needsParens(v.Target) {
				name = "(" + name + ")"
			}
			t = v.Target
		case *btf.Array:
			name = fmt.Sprintf("%s[%d]", name, v.Nelems)
			t = v.Type
		case *btf.FuncProto:
			name += "(" + parameters(v, depth) + ")"
			t = v.Return
		case *btf.Const:
			if _, ok := v.Type.(*btf.Pointer); !ok {
				return "const " + declare(v.Type, name, depth+1)
			}
			name = strings.TrimRight("const "+name, " ")
			t = v.Type
		case *btf.Volatile:
			return "volatile " + declare(v.Type, name, depth+1)
		case *btf.Restrict:
			t = v.Type
		case *btf.TypeTag:
			t = v.Type
		case *btf.Var:
			return declare(v.Type, v.Name, depth+1)
		case *btf.Func:
			return declare(v.Type, v.Name, depth+1)
		default:
			return join(baseName(t), name)
		}
	}
	return join("…", name)
}

func needsParens(t btf.Type) bool {
	switch t.(type) {
	case *btf.Array, *btf.FuncProto:
		return true
	}
	return false
}

func parameters(f *btf.FuncProto, depth int) string {
	if len(f.Params) == 0 {
		return "void"
	}
	var list []string
	for _, p := range f.Params {
		if _, ok := p.Type.(*btf.Void); ok || p.Type == nil { // how BTF says it
			list = append(list, "...")
			continue
		}
		list = append(list, declare(p.Type, p.Name, depth+1))
	}
	return strings.Join(list, ", ")
}

// join puts a type before a declarator.
func join(base, name string) string {
	if base == "" || name == "" || name[0] == '[' {
		return base + name
	}
	return base + " " + name
}

// baseName is what stands before the declared name.
func baseName(t btf.Type) string {
	prefix := ""
	switch v := t.(type) {
	case nil:
		return "void"
	case *btf.Void:
		return "void"
	case *btf.Struct:
		prefix = "struct"
	case *btf.Union:
		prefix = "union"
	case *btf.Enum:
		prefix = "enum"
	case *btf.Datasec:
		prefix = "section"
	case *btf.Fwd:
		prefix = v.Kind.String()
	}
	return strings.TrimSpace(prefix + " " + harmless(t.TypeName()))
}
