package helper

import (
	"bytes"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/ctype"
)

// The flags of bpf_snprintf_btf (BTF_F_COMPACT and so on).
const (
	showCompact = 1 << 0 // no newlines and no indents
	showNoName  = 1 << 1 // no names of members and types
	showPtrRaw  = 1 << 2 // addresses as they are; they are not hashed here anyway
	showZero    = 1 << 3 // members that are zero, too
	showAll     = showCompact | showNoName | showPtrRaw | showZero
)

// typeShow writes a value as Linux does, oddities included. What is zero is left
// away, so that a structure or array in another is gone through twice: first to
// see whether there is anything in it to show.
type typeShow struct {
	flags uint64
	data  []byte // the whole value
	text  []byte

	depth int
	typ   btf.Type // that is being shown
	named btf.Type // what it is called: typ, or a typedef of it

	member  *btf.Member // that is being shown; nil: none, or an element
	element bool        // of an array: elements are not named

	chars bool // in an array of characters
	ended bool // which had its NUL

	looking int // the depth that was looked into when writing stopped; 0: writes
	found   int // the deepest value that is not zero
}

// value shows what lies at an offset in bytes, and bits beyond it.
func (w *typeShow) value(typ btf.Type, offset, bits int) {
	switch t := btf.UnderlyingType(typ).(type) {
	case *btf.Int:
		w.start(t, typ)
		w.integer(t, offset, bits)
		w.end()
	case *btf.Enum:
		w.start(t, typ)
		w.enum(t, offset)
		w.end()
	case *btf.Pointer:
		w.start(t, typ)
		v := le.Uint64(w.at(offset, 8))
		w.scalar(v != 0, fmt.Sprintf("0x%016x", v))
		w.end()
	case *btf.Array:
		w.aggregate(func() { w.array(t, typ, offset, bits) })
	case *btf.Struct:
		w.aggregate(func() { w.members(t, typ, t.Members, offset) })
	case *btf.Union:
		w.aggregate(func() { w.members(t, typ, t.Members, offset) })
	default:
		w.write(fmt.Sprintf("<unsupported kind:%d>", unsupportedKind(t)))
	}
}

// unsupportedKind is the number in BTF of what has no value to show.
func unsupportedKind(t btf.Type) int {
	switch t.(type) {
	case *btf.Fwd:
		return 7
	case *btf.Func:
		return 12
	case *btf.FuncProto:
		return 13
	}
	return 16 // float
}

// aggregate shows a structure, union or array if there is anything in it.
func (w *typeShow) aggregate(show func()) {
	if w.depth > 0 && w.flags&showZero == 0 {
		member := w.member
		if w.looking == 0 {
			w.looking, w.found = w.depth+1, 0
		}
		show()
		w.member = member
		if w.looking != w.depth+1 {
			return
		}
		w.looking = 0
		if w.found <= w.depth {
			return
		}
	}
	show()
}

func (w *typeShow) members(t, named btf.Type, members []btf.Member, offset int) {
	w.open(t, named)
	for i := range members {
		m := &members[i]
		w.member = m
		at, bits := offset+int(m.Offset/8), int(m.Offset%8)
		if m.BitfieldSize > 0 {
			w.start(m.Type, m.Type)
			w.bits(at, bits, int(m.BitfieldSize))
			w.end()
		} else {
			w.value(m.Type, at, bits)
		}
		w.member = nil
	}
	w.close("}")
}

func (w *typeShow) array(t *btf.Array, named btf.Type, offset, bits int) {
	elem := btf.UnderlyingType(t.Type)
	size := elementSize(elem)
	integer, _ := elem.(*btf.Int)
	w.chars, w.ended = integer != nil && size == 1, false
	w.open(t, named)
	for range t.Nelems {
		w.element, w.member = true, nil
		w.value(t.Type, offset, bits)
		offset += size
		w.element, w.member = false, nil
		if w.ended {
			break
		}
	}
	w.chars, w.ended = false, false
	w.close("]")
}

// elementSize is how far Linux goes on to an array's next element. Pointers and
// arrays have no size of their own in BTF, and there it stays at the first.
func elementSize(elem btf.Type) int {
	switch t := elem.(type) {
	case *btf.Int:
		return int(t.Size)
	case *btf.Enum:
		return int(t.Size)
	case *btf.Struct:
		return int(t.Size)
	case *btf.Union:
		return int(t.Size)
	case *btf.Float:
		return int(t.Size)
	}
	return 0
}

func (w *typeShow) integer(t *btf.Int, offset, bits int) {
	switch {
	case bits != 0 || t.Size > 8 || t.Size&(t.Size-1) != 0:
		w.bits(offset, bits, int(t.Size)*8)
		return
	case t.Size == 1 && w.chars:
		c := w.at(offset, 1)[0]
		switch {
		case w.ended:
			return
		case c == 0:
			w.ended = true
			return
		case 0x20 <= c && c < 0x7f || c >= 0xa0: // printable in Latin-1
			w.scalar(true, "'"+string([]byte{c})+"'")
			return
		}
	}
	v := le.Uint64(w.at(offset, 8))
	unused := 64 - 8*uint(t.Size)
	if v <<= unused; t.Encoding&btf.Signed != 0 {
		w.scalar(v != 0, fmt.Sprint(int64(v)>>unused))
		return
	}
	w.scalar(v != 0, fmt.Sprint(v>>unused))
}

// bits shows n bits, in hexadecimal.
func (w *typeShow) bits(offset, bits, n int) {
	raw := w.at(offset, (bits+n+7)/8)
	slices.Reverse(raw)
	v := new(big.Int).SetBytes(raw)
	v.Rsh(v, uint(bits))
	v.And(v, new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(n)), big.NewInt(1)))
	w.scalar(v.Sign() != 0, fmt.Sprintf("0x%x", v))
}

// enum shows a value by its name, even where it is zero.
func (w *typeShow) enum(t *btf.Enum, offset int) {
	v, size := le.Uint64(w.at(offset, 8)), uint(4)
	if t.Size == 8 {
		size = 8
	}
	unused := 64 - 8*size
	if v <<= unused; t.Signed {
		v = uint64(int64(v) >> unused)
	} else {
		v >>= unused
	}
	for _, e := range t.Values {
		if size == 8 && e.Value == v || size == 4 && uint32(e.Value) == uint32(v) {
			w.scalar(true, e.Name)
			return
		}
	}
	if t.Signed {
		w.scalar(v != 0, fmt.Sprint(int64(v)))
		return
	}
	w.scalar(v != 0, fmt.Sprint(v))
}

// at copies n bytes of the value; what lies behind it is zero.
func (w *typeShow) at(offset, n int) []byte {
	b := make([]byte, n)
	if offset < len(w.data) {
		copy(b, w.data[offset:])
	}
	return b
}

// scalar writes a number or a name with what it is called.
func (w *typeShow) scalar(notZero bool, text string) {
	if !notZero && w.flags&showZero == 0 && w.depth > 0 {
		return
	}
	w.write(w.indent(), w.name(), text, w.delimiter(), w.newline())
	w.found = max(w.found, w.depth)
}

func (w *typeShow) start(t, named btf.Type) { w.typ, w.named = t, named }

func (w *typeShow) end() { w.typ, w.named = nil, nil }

func (w *typeShow) open(t, named btf.Type) {
	w.start(t, named)
	w.write(w.indent(), w.name(), w.newline())
	w.depth++
}

func (w *typeShow) close(suffix string) {
	w.depth--
	w.write(w.indent(), suffix, w.delimiter(), w.newline())
	w.end()
}

func (w *typeShow) write(parts ...string) {
	if w.looking != 0 {
		return
	}
	for _, p := range parts {
		w.text = append(w.text, p...)
	}
}

func (w *typeShow) indent() string {
	if w.flags&showCompact != 0 {
		return ""
	}
	return strings.Repeat(" ", min(w.depth, 32))
}

func (w *typeShow) newline() string {
	if w.flags&showCompact != 0 {
		return ""
	}
	return "\n"
}

func (w *typeShow) delimiter() string {
	if w.depth == 0 {
		return ""
	}
	if _, union := w.typ.(*btf.Union); union && w.flags&showCompact != 0 {
		return "|"
	}
	return ","
}

// name is what goes before a value: ".member = (type)" and an opening bracket.
func (w *typeShow) name() string {
	if w.element {
		return ""
	}
	typ, label := w.named, ""
	if w.member != nil {
		typ = w.member.Type
		if w.member.Name != "" {
			label = "." + w.member.Name + " = "
		}
	}
	const deepest = 10 // typedefs, pointers and arrays on the way
	var alias string
	var pointers, arrays int
	var typedef bool
	for range deepest {
		switch t := typ.(type) {
		case *btf.Typedef:
			if !typedef {
				alias = t.Name
			}
			typedef, typ = true, ctype.Unqualified(t.Type)
			continue
		case *btf.Array:
			arrays++
			typ = ctype.Unqualified(t.Type)
			continue
		case *btf.Pointer:
			pointers++
			if _, void := t.Target.(*btf.Void); !void {
				typ = ctype.Unqualified(t.Target)
				continue
			}
		}
		return w.nameOf(label, alias, typ, typedef, pointers, arrays)
	}
	return "" // Linux gives up here
}

func (w *typeShow) nameOf(label, name string, typ btf.Type, typedef bool, pointers, arrays int) string {
	var prefix, bracket string
	if arrays > 0 {
		bracket = "["
	}
	switch typ.(type) {
	case *btf.Struct, *btf.Union:
		prefix = "struct"
		if _, union := typ.(*btf.Union); union {
			prefix = "union"
		}
		if arrays == 0 {
			bracket = "{"
		}
	case *btf.Enum:
		prefix = "enum"
	}
	if pointers > 0 {
		bracket = ""
	}
	if typedef {
		prefix = ""
	}
	if w.flags&showNoName != 0 {
		return bracket
	}
	if name == "" {
		name = typ.TypeName()
	}
	var b bytes.Buffer
	b.WriteString(label + "(" + prefix)
	if prefix != "" && name != "" {
		b.WriteByte(' ')
	}
	b.WriteString(name)
	if pointers > 0 {
		b.WriteString(" " + strings.Repeat("*", pointers))
	}
	b.WriteString(strings.Repeat("[]", arrays) + ")" + bracket)
	const longest = 79 // characters (BTF_SHOW_NAME_SIZE, with its NUL)
	return string(b.Bytes()[:min(b.Len(), longest)])
}
