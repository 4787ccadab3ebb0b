package vmlinux

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf/btf"
)

// layout is how C lays out a structure or union as it is written here.
type layout struct {
	align  uint32 // bytes
	packed bool   // members lie where their own alignment would not let them
}

// record is the definition of a structure or union, behind what it is called.
func (w *writer) record(head string, typ btf.Type, tabs int) (string, error) {
	if tabs > maxDepth {
		return "", fmt.Errorf("%v contains itself", typ)
	}
	var out strings.Builder
	line := func(format string, args ...any) {
		out.WriteString(strings.Repeat("\t", tabs+1))
		fmt.Fprintf(&out, format, args...)
		out.WriteString(";\n")
	}
	l, err := w.layout(typ)
	if err != nil {
		return "", err
	}
	fmt.Fprintf(&out, "%s {\n", head)
	switch t := typ.(type) {
	case *btf.Struct:
		at := uint32(0) // bits
		for _, m := range t.Members {
			text, size, err := w.member(m, tabs)
			if err != nil {
				return "", err
			}
			begin := uint32(m.Offset)
			if begin < at {
				return "", fmt.Errorf("%s overlaps another member in %v", m.Name, typ)
			}
			if w.natural(at, m, l.packed) != begin {
				if err := w.pad(line, at, begin); err != nil {
					return "", err
				}
			}
			line("%s", text)
			at = begin + size
		}
		if end := t.Size * 8; roundUp(at, l.align*8) < end {
			if err := w.pad(line, at, end); err != nil {
				return "", err
			}
		}
	case *btf.Union:
		largest := uint32(0) // bits
		for _, m := range t.Members {
			text, size, err := w.member(m, tabs)
			if err != nil {
				return "", err
			}
			line("%s", text)
			largest = max(largest, size)
		}
		if end := t.Size * 8; roundUp(largest, l.align*8) < end {
			var hole []string
			err := w.pad(func(format string, args ...any) { hole = append(hole, fmt.Sprintf(format, args...)+";") }, 0, end)
			if err != nil {
				return "", err
			}
			line("struct { %s }", strings.Join(hole, " "))
		}
	}
	out.WriteString(strings.Repeat("\t", tabs) + "}")
	if l.packed {
		out.WriteString(" __attribute__((packed))")
	}
	return out.String(), nil
}

// member is a member's declaration, and its size in bits.
func (w *writer) member(m btf.Member, tabs int) (string, uint32, error) {
	if err := w.step(1); err != nil {
		return "", 0, err
	}
	name := ""
	if m.Name != "" {
		name = member(m.Name)
	}
	if inner := btf.UnderlyingType(m.Type); name == "" && inner.TypeName() != "" {
		return w.embedded(inner, tabs+1)
	}
	text, err := w.declare(m.Type, name, tabs+1)
	if err != nil {
		return "", 0, err
	}
	if m.BitfieldSize > 0 {
		return fmt.Sprintf("%s : %d", text, m.BitfieldSize), uint32(m.BitfieldSize), nil
	}
	size, err := sizeof(m.Type)
	if err != nil {
		return "", 0, fmt.Errorf("member %s: %w", m.Name, err)
	}
	return text, size * 8, nil
}

// embedded is a member without a name whose type has one, as Linux uses them since
// 7.0. Only Microsoft's C takes that, so it is written as if the type had none.
func (w *writer) embedded(typ btf.Type, tabs int) (string, uint32, error) {
	keyword, _, _ := strings.Cut(w.names.tagged(typ), " ")
	text, err := w.record(keyword, typ, tabs)
	if err != nil {
		return "", 0, err
	}
	size, err := sizeof(typ)
	return text, size * 8, err
}

// natural is the bit at which C places a member behind others that end at one.
func (w *writer) natural(at uint32, m btf.Member, packed bool) uint32 {
	align := w.align(m.Type) * 8
	switch {
	case m.BitfieldSize > 0 && (packed || !crosses(at, m)):
		return at
	case packed:
		align = 8
	}
	return roundUp(at, align)
}

// crosses reports whether a bit-field that begins at a bit goes over the end of a
// unit of its type.
func crosses(at uint32, m btf.Member) bool {
	unit, err := sizeof(m.Type)
	return err != nil || unit == 0 || at%(unit*8)+uint32(m.BitfieldSize) > unit*8
}

// pad fills bits with unnamed bit-fields, which align nothing.
func (w *writer) pad(line func(string, ...any), at, end uint32) error {
	if err := w.step(int(end-at) / 64); err != nil {
		return err
	}
	for at < end {
		next := min(end, roundUp(at+1, 64))
		line("long : %d", next-at)
		at = next
	}
	return nil
}

// layout finds whether a structure or union must be packed: if one of its members,
// or its end, is not aligned as C would.
func (w *writer) layout(typ btf.Type) (layout, error) {
	if l, ok := w.layouts[typ]; ok {
		return l, nil
	}
	l := layout{align: 1}
	var members []btf.Member
	size := uint32(0)
	switch t := typ.(type) {
	case *btf.Struct:
		members, size = t.Members, t.Size
	case *btf.Union:
		members, size = t.Members, t.Size
	}
	w.layouts[typ] = l // for types that contain themselves, which record refuses
	for _, m := range members {
		align := w.align(m.Type)
		l.align = max(l.align, align)
		if m.BitfieldSize > 0 {
			l.packed = l.packed || crosses(uint32(m.Offset), m)
		} else {
			l.packed = l.packed || uint32(m.Offset)%(align*8) != 0
		}
	}
	if l.packed = l.packed || size%l.align != 0; l.packed {
		l.align = 1
	}
	w.layouts[typ] = l
	return l, nil
}

// align is the alignment in bytes of a type as it is written here.
func (w *writer) align(typ btf.Type) uint32 {
	for range maxDepth {
		switch t := btf.UnderlyingType(typ).(type) {
		case *btf.Array:
			typ = t.Type
			continue
		case *btf.Struct, *btf.Union:
			l, _ := w.layout(t)
			return l.align
		case *btf.Int:
			return t.Size
		case *btf.Float:
			return t.Size
		case *btf.Enum:
			return t.Size
		case *btf.Pointer:
			return 8
		}
		break
	}
	return 1
}

// maxSize is how many bytes a type may have, so that its bits can be counted.
const maxSize = 1 << 28

// sizeof is a type's size in bytes.
func sizeof(typ btf.Type) (uint32, error) {
	switch t := btf.UnderlyingType(typ).(type) {
	case *btf.Float:
		return t.Size, nil
	case *btf.Void:
		return 0, errors.New("void has no size")
	}
	size, err := btf.Sizeof(typ)
	if err == nil && size > maxSize {
		err = fmt.Errorf("%d bytes are too many", size)
	}
	return uint32(size), err
}

func roundUp(n, unit uint32) uint32 { return (n + unit - 1) / unit * unit }
