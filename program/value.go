package program

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/ctype"
	"github.com/skep-ebpf/skep/internal/suggest"
)

// putValue writes a value into zeroed memory of a type's size; see
// [Program.Set] for the forms.
func putValue(dst []byte, typ btf.Type, text string) error {
	if ctype.PutAddress(dst, typ, text) || ctype.PutPrefix(dst, typ, text) {
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
		if inner, ok := enclosed(text, "{", "}"); ok {
			return putFields(dst, t, inner)
		}
		if bits := ctype.PrefixBits(t); bits > 0 {
			return fmt.Errorf("%q is no prefix of an address of %d bits: write it as 10.0.0.0/8 or 2001:db8::/32", text, bits)
		}
		return fmt.Errorf("it has fields: set one at a time, as in name.%s=%s, or all, as in name={%[1]s = %[2]s}", firstMember(t), text)
	}
	return errors.New("values of this type cannot be written as text")
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

// putFields writes fields, as "a = 1, b = {c = 2}".
func putFields(dst []byte, typ btf.Type, text string) error {
	for _, field := range splitTop(text) {
		name, value, ok := strings.Cut(field, "=")
		if !ok {
			return fmt.Errorf("%q: want field = value", field)
		}
		value = strings.TrimSpace(value)
		if plain, err := strconv.Unquote(value); err == nil {
			value = plain
		}
		if err := putPath(dst, typ, "."+strings.TrimSpace(name), value); err != nil {
			return fmt.Errorf("%s: %w", strings.TrimSpace(name), err)
		}
	}
	return nil
}

// enclosed gives what is between two signs.
func enclosed(text, open, end string) (inner string, ok bool) {
	inner, begins := strings.CutPrefix(strings.TrimSpace(text), open)
	inner, ends := strings.CutSuffix(inner, end)
	return inner, begins && ends
}

// splitTop splits at the commas that are not in brackets or in a string.
func splitTop(text string) (parts []string) {
	depth, start, quoted := 0, 0, false
	for i, c := range text {
		switch {
		case c == '"' && (i == 0 || text[i-1] != '\\'):
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		case c == ',' && depth == 0:
			parts = append(parts, strings.TrimSpace(text[start:i]))
			start = i + 1
		}
	}
	if rest := strings.TrimSpace(text[start:]); rest != "" {
		parts = append(parts, rest)
	}
	return parts
}

// isNetworkOrder reports whether a type is one of the kernel's big-endian ones.
func isNetworkOrder(typ btf.Type) bool {
	for range ctype.MaxDepth {
		t, ok := ctype.Unqualified(typ).(*btf.Typedef)
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
	return fmt.Errorf("%q is none of its values%s", text, suggest.Name(text, names))
}

func putArray(dst []byte, t *btf.Array, text string) error {
	if ctype.IsText(t) {
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
	if inner, ok := enclosed(text, "[", "]"); ok {
		text = inner
	}
	values := splitTop(text)
	if len(values) > len(dst)/size {
		return fmt.Errorf("%d values are too many for %d elements", len(values), len(dst)/size)
	}
	for i, v := range values {
		if err := putValue(dst[i*size:(i+1)*size], t.Type, v); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	return nil
}

func firstMember(typ btf.Type) string {
	if ms := ctype.Members(typ); len(ms) > 0 && ms[0].Name != "" {
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
