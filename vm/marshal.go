package vm

import (
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"unsafe"
)

// marshal gives data as size bytes in the host's byte order, by encoding/binary's
// rules. The result may alias data.
func marshal(data any, size int) ([]byte, error) {
	var buf []byte
	switch v := data.(type) {
	case nil:
		return nil, errors.New("a nil value has no bytes")
	case []byte:
		buf = v
	case string:
		buf = unsafe.Slice(unsafe.StringData(v), len(v))
	case unsafe.Pointer:
		buf = unsafe.Slice((*byte)(v), size)
	case uint32, int32:
		buf = unsafe.Slice((*byte)(boxed(data)), 4)
	case uint64, int64:
		buf = unsafe.Slice((*byte)(boxed(data)), 8)
	case encoding.BinaryMarshaler:
		var err error
		if buf, err = v.MarshalBinary(); err != nil {
			return nil, err
		}
	default:
		if buf = backing(data); len(buf) == size {
			return buf, nil
		}
		var err error
		if buf, err = binary.Append(nil, binary.NativeEndian, data); err != nil {
			return nil, err
		}
	}
	if len(buf) != size {
		return nil, fmt.Errorf("%T has %d bytes, %d are wanted", data, len(buf), size)
	}
	return buf, nil
}

// boxed is where an interface keeps a value that is no pointer. It must not be
// written to.
func boxed(data any) unsafe.Pointer { return (*[2]unsafe.Pointer)(unsafe.Pointer(&data))[1] }

// target gives the memory of out if size bytes can be written there as they are.
func target(out any, size int) []byte {
	switch v := out.(type) {
	case []byte:
		if len(v) == size {
			return v
		}
		return nil
	case unsafe.Pointer:
		return unsafe.Slice((*byte)(v), size)
	case encoding.BinaryUnmarshaler, *string, *[]byte:
		return nil
	}
	if b := backing(out); len(b) == size {
		return b
	}
	return nil
}

// unmarshal is the inverse of marshal; out is a pointer or a slice.
func unmarshal(out any, buf []byte) error {
	switch v := out.(type) {
	case encoding.BinaryUnmarshaler:
		return v.UnmarshalBinary(slices.Clone(buf))
	case *string:
		*v = string(buf)
		return nil
	case *[]byte:
		*v = slices.Clone(buf)
		return nil
	}
	if b := target(out, len(buf)); b != nil {
		copy(b, buf)
		return nil
	}
	n, err := binary.Decode(buf, binary.NativeEndian, out)
	if err != nil {
		return fmt.Errorf("decode %d bytes into %T: %w", len(buf), out, err)
	}
	if n != len(buf) {
		return fmt.Errorf("decode %d bytes into %T: it has only %d", len(buf), out, n)
	}
	return nil
}

// flat caches, by type, whether a value's memory is its encoding: fixed size,
// no padding, nothing unexported.
var flat sync.Map // reflect.Type -> bool

// backing gives the memory of a pointer to a flat value, or of a slice of flat
// values; nil for anything else.
func backing(data any) []byte {
	switch v := data.(type) { // the most frequent ones, without reflection
	case *uint32:
		return memory(v)
	case *int32:
		return memory(v)
	case *uint64:
		return memory(v)
	case *int64:
		return memory(v)
	}
	v := reflect.ValueOf(data)
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		if elem := v.Type().Elem(); elem.Kind() != reflect.Slice {
			if !isFlat(elem) {
				return nil
			}
			return unsafe.Slice((*byte)(v.UnsafePointer()), elem.Size())
		}
		v = v.Elem()
	case reflect.Slice:
	default:
		return nil
	}
	elem := v.Type().Elem()
	if !isFlat(elem) {
		return nil
	}
	return unsafe.Slice((*byte)(v.UnsafePointer()), int(elem.Size())*v.Len())
}

// memory is the bytes of a value, none of a nil pointer.
func memory[T any](v *T) []byte {
	if v == nil {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))
}

func isFlat(t reflect.Type) bool {
	if known, ok := flat.Load(t); ok {
		return known.(bool)
	}
	is := exported(t) && binary.Size(reflect.New(t).Interface()) == int(t.Size())
	flat.Store(t, is)
	return is
}

// exported reports whether encoding/binary would copy every field of t.
func exported(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Array:
		return exported(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); !f.IsExported() || !exported(f.Type) {
				return false
			}
		}
	}
	return true
}

// marshalPerCPU gives a slice with one value a CPU as the bytes of all of them.
// CPUs beyond the slice get zeroes.
func marshalPerCPU(data any, size, cpus int) ([]byte, error) {
	v := reflect.ValueOf(data)
	if v.Kind() != reflect.Slice {
		return nil, fmt.Errorf("the value of a per-CPU map is a slice with one element a CPU, not %T", data)
	}
	if v.Len() > cpus {
		return nil, fmt.Errorf("%d values for %d CPUs", v.Len(), cpus)
	}
	stride := (size + 7) &^ 7
	buf := make([]byte, stride*cpus)
	for i := range v.Len() {
		one, err := marshal(v.Index(i).Interface(), size)
		if err != nil {
			return nil, fmt.Errorf("CPU %d: %w", i, err)
		}
		copy(buf[i*stride:], one)
	}
	return buf, nil
}

// unmarshalPerCPU fills out, a slice or a pointer to one, with one value a CPU.
func unmarshalPerCPU(out any, buf []byte, size, cpus int) error {
	v := reflect.ValueOf(out)
	if v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Slice {
		v = v.Elem()
		v.Set(reflect.MakeSlice(v.Type(), cpus, cpus))
	}
	if v.Kind() != reflect.Slice {
		return fmt.Errorf("the value of a per-CPU map is a slice with one element a CPU, not %T", out)
	}
	if v.Len() != cpus {
		return fmt.Errorf("a slice of %d elements for the values of %d CPUs", v.Len(), cpus)
	}
	stride := (size + 7) &^ 7
	for i := range cpus {
		elem := v.Index(i)
		if elem.Kind() != reflect.Pointer {
			elem = elem.Addr()
		} else if elem.IsNil() {
			return fmt.Errorf("CPU %d: nil pointer", i)
		}
		if err := unmarshal(elem.Interface(), buf[i*stride:i*stride+size]); err != nil {
			return fmt.Errorf("CPU %d: %w", i, err)
		}
	}
	return nil
}
