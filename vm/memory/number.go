package memory

import (
	"encoding/binary"
	"fmt"
	"reflect"

	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/ctype"
	"github.com/skep-ebpf/skep/internal/suggest"
)

// Enumerator is a value of an enum, given by its name or as a number.
func Enumerator(t *btf.Enum, value any) (uint64, error) {
	name, ok := value.(string)
	if !ok {
		return Number(value, t.Size, t.Signed)
	}
	var names []string
	for _, v := range t.Values {
		if v.Name == name {
			return v.Value, nil
		}
		names = append(names, v.Name)
	}
	return 0, fmt.Errorf("%s is no value of %s%s", name, ctype.Name(t), suggest.Name(name, names))
}

// Number is an integer or a bool that fits into size bytes.
func Number(value any, size uint32, signed bool) (uint64, error) {
	v := reflect.ValueOf(value)
	var n uint64
	fits := true
	switch {
	case v.Kind() == reflect.Bool:
		if v.Bool() {
			n = 1
		}
	case v.CanInt():
		n = uint64(v.Int())
		// A negative number stands for its bits in an unsigned field too.
		fits = size == 8 || v.Int() >= -1<<(8*size-1) && v.Int() < 1<<(8*size)
	case v.CanUint():
		n = v.Uint()
		fits = size == 8 || n < 1<<(8*size)
	default:
		return 0, fmt.Errorf("%s is no number", describe(value))
	}
	if fits && signed && size == 8 && v.CanUint() && n > 1<<63-1 {
		fits = false
	}
	if !fits {
		return 0, fmt.Errorf("%v does not fit into %d bytes", value, size)
	}
	return n, nil
}

// putBits writes a bit field.
func putBits(dst []byte, f btf.Member, value any) error {
	n, err := Number(value, 8, false)
	if err != nil {
		return err
	}
	if n >= 1<<f.BitfieldSize {
		return fmt.Errorf("%v does not fit into %d bits", value, f.BitfieldSize)
	}
	for i := range f.BitfieldSize {
		bit := f.Offset + i
		dst[bit/8] = dst[bit/8]&^(1<<(bit%8)) | byte(n>>i&1)<<(bit%8)
	}
	return nil
}

// putInt writes a number into all of dst.
func putInt(dst []byte, n uint64) error {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	if len(dst) > len(b) {
		return fmt.Errorf("numbers of %d bytes are not supported", len(dst))
	}
	copy(dst, b[:])
	return nil
}
