package memory

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/ctype"
)

// dataLoc begins the names of an event's fields that say where, behind the
// event, their bytes lie.
const dataLoc = "__data_loc_"

// plain takes a value apart from the line it stands on.
func plain(v any) (value any, line int) {
	if at, ok := v.(At); ok {
		return at.Value, at.Line
	}
	return v, 0
}

// located says on which line something is wrong, where that is known and not said
// yet.
func located(line int, err error) error {
	var known *LineError
	if err == nil || line == 0 || errors.As(err, &known) {
		return err
	}
	return &LineError{line, err}
}

// LineError is what is wrong with a value that stands on a line of a file.
type LineError struct {
	Line int
	Err  error
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap gives what is wrong.
func (e *LineError) Unwrap() error { return e.Err }

// put writes a value into zeroed memory of a type.
func (m *Memory) put(dst []byte, typ btf.Type, v any) error {
	value, line := plain(v)
	return located(line, m.putPlain(dst, typ, value))
}

func (m *Memory) putPlain(dst []byte, typ btf.Type, value any) error {
	if value == nil {
		return nil
	}
	if text, ok := value.(string); ok && !ctype.IsText(typ) && ctype.PutAddress(dst, typ, text) {
		return nil
	}
	switch t := btf.UnderlyingType(typ).(type) {
	case *btf.Struct, *btf.Union:
		fields, ok := value.(map[string]any)
		if !ok {
			return fmt.Errorf("%s wants fields by their names, not %s", ctype.Name(typ), describe(value))
		}
		return m.putFields(dst, typ, fields)
	case *btf.Array:
		return m.putArray(dst, t, value)
	case *btf.Pointer:
		addr, err := m.Pointer(t, value)
		return errors.Join(err, putInt(dst, addr))
	case *btf.Enum:
		n, err := Enumerator(t, value)
		return errors.Join(err, putInt(dst, n))
	case *btf.Int:
		n, err := Number(value, t.Size, t.Encoding == btf.Signed)
		if err != nil {
			return fmt.Errorf("%s: %w", ctype.Name(typ), err)
		}
		if err := putInt(dst[:t.Size], n); err != nil {
			return err
		}
		if ctype.IsBigEndian(typ) {
			slices.Reverse(dst[:t.Size])
		}
		return nil
	}
	return fmt.Errorf("%s takes no value", ctype.Name(typ))
}

// putFields writes a structure's fields, in the order of their names.
func (m *Memory) putFields(dst []byte, typ btf.Type, fields map[string]any) error {
	behind := fixedSize(typ)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		f, ok := field(typ, name)
		if !ok {
			_, line := plain(fields[name])
			return located(line, unknownField(typ, name))
		}
		off := int(f.Offset.Bytes())
		var err error
		if value, _ := plain(fields[name]); strings.HasPrefix(name, dataLoc) && isBytes(value) {
			b := asBytes(value)
			copy(dst[behind:], b)
			err = putInt(dst[off:off+4], uint64(len(b))<<16|uint64(behind))
			behind += len(b)
		} else if f.BitfieldSize > 0 {
			_, line := plain(fields[name])
			err = located(line, putBits(dst, f, value))
		} else {
			end := len(dst)
			if size, sizeErr := btf.Sizeof(f.Type); sizeErr == nil && size > 0 {
				end = off + size
			}
			err = m.put(dst[off:end], f.Type, fields[name])
		}
		if err != nil {
			return inField(typ, name, err)
		}
	}
	return nil
}

// inField says which field of which type an error is about, unless a field in it
// was named already.
func inField(typ btf.Type, name string, err error) error {
	var known *fieldError
	if errors.As(err, &known) {
		return err
	}
	var at *LineError
	if errors.As(err, &at) {
		return &LineError{at.Line, &fieldError{ctype.Name(typ), name, at.Err}}
	}
	return &fieldError{ctype.Name(typ), name, err}
}

type fieldError struct {
	typ, name string
	err       error
}

func (e *fieldError) Error() string {
	return fmt.Sprintf("field %s of %s: %v", e.name, e.typ, e.err)
}
func (e *fieldError) Unwrap() error { return e.err }

func fixedSize(typ btf.Type) int {
	size, err := btf.Sizeof(typ)
	if err != nil {
		return 0
	}
	return size
}

// trailing is how many bytes a value needs behind its type: those of an array
// without a size that ends it, and of what an event carries.
func (m *Memory) trailing(typ btf.Type, v any) (int, error) {
	value, line := plain(v)
	fields, ok := value.(map[string]any)
	if !ok {
		return 0, nil
	}
	more := 0
	for name, v := range fields {
		f, ok := field(typ, name)
		if !ok {
			continue // put says so
		}
		value, _ := plain(v)
		if strings.HasPrefix(name, dataLoc) && isBytes(value) {
			more += len(asBytes(value))
			continue
		}
		array, ok := btf.UnderlyingType(f.Type).(*btf.Array)
		if !ok || array.Nelems > 0 {
			continue
		}
		size, err := btf.Sizeof(array.Type)
		if err != nil {
			return 0, located(line, inField(typ, name, err))
		}
		if n := int(f.Offset.Bytes()) + length(value)*size - fixedSize(typ); n > more {
			more = n
		}
	}
	return more, nil
}

// length is how many elements a value gives an array.
func length(value any) int {
	if s, ok := value.(string); ok {
		return len(s) + 1
	}
	if v := reflect.ValueOf(value); v.Kind() == reflect.Slice {
		return v.Len()
	}
	return 0
}

func (m *Memory) putArray(dst []byte, t *btf.Array, value any) error {
	size, err := btf.Sizeof(t.Type)
	if err != nil || size == 0 {
		return fmt.Errorf("%s has elements without a size", ctype.Name(t))
	}
	room := len(dst) / size
	switch v := value.(type) {
	case string:
		if !isText(t.Type) {
			return fmt.Errorf("%s is no text", ctype.Name(t))
		}
		if len(v) >= room {
			return fmt.Errorf("%q has %d characters, and %s has room for %d and a NUL", v, len(v), ctype.Name(t), max(room-1, 0))
		}
		copy(dst, v)
		return nil
	case []byte:
		if len(v) > len(dst) {
			return fmt.Errorf("%d bytes are too many for %s", len(v), ctype.Name(t))
		}
		copy(dst, v)
		return nil
	case []any:
		if len(v) > room {
			return fmt.Errorf("%d values are too many for %s", len(v), ctype.Name(t))
		}
		for i, e := range v {
			if err := m.put(dst[i*size:(i+1)*size], t.Type, e); err != nil {
				return fmt.Errorf("element %d: %w", i, err)
			}
		}
		return nil
	}
	return fmt.Errorf("%s wants a list, not %s", ctype.Name(t), describe(value))
}

// Pointer is the address that a pointer of a type holds for a value, for which it
// may build an object.
func (m *Memory) Pointer(t *btf.Pointer, v any) (uint64, error) {
	value, line := plain(v)
	addr, err := m.pointer(t, value)
	return addr, located(line, err)
}

func (m *Memory) pointer(t *btf.Pointer, value any) (uint64, error) {
	switch v := value.(type) {
	case nil:
		return 0, nil
	case Ref:
		return m.Address(v)
	case string:
		if strings.HasPrefix(v, "&") {
			return m.Address(Ref(v))
		}
		if _, void := btf.UnderlyingType(t.Target).(*btf.Void); !void && !isText(t.Target) {
			return 0, fmt.Errorf("%s points to no text; another object is named as &%s", ctype.Name(t), v)
		}
		return m.text(v)
	case []byte:
		return m.bytes(v)
	case map[string]any:
		if _, void := btf.UnderlyingType(t.Target).(*btf.Void); void {
			return 0, errors.New("void * says nothing of what it points to: make a named object and point to it with &name")
		}
		return m.build(t.Target, value)
	case []any:
		return m.build(&btf.Array{Type: t.Target, Nelems: uint32(len(v))}, value)
	}
	n, err := Number(value, 8, false)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", ctype.Name(t), err)
	}
	return n, nil
}

// text builds an object of characters.
func (m *Memory) text(s string) (uint64, error) { return m.bytes(append([]byte(s), 0)) }

func (m *Memory) bytes(b []byte) (uint64, error) {
	return m.build(&btf.Array{Type: &btf.Int{Name: "char", Size: 1, Encoding: btf.Char}, Nelems: uint32(len(b))}, b)
}

// isBytes reports whether a value is the bytes that an event carries.
func isBytes(value any) bool {
	switch value.(type) {
	case string, []byte:
		return true
	}
	return false
}

func asBytes(value any) []byte {
	if s, ok := value.(string); ok {
		return append([]byte(s), 0)
	}
	b, _ := value.([]byte)
	return b
}

// describe names the form of a value, for messages.
func describe(value any) string {
	switch v := value.(type) {
	case string:
		return fmt.Sprintf("the text %q", v)
	case Ref:
		return "a reference"
	case []any, []byte:
		return "a list"
	case map[string]any:
		return "fields"
	}
	return fmt.Sprintf("%v", value)
}
