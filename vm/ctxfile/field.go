package ctxfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/skep-ebpf/skep/internal/suggest"
	"github.com/skep-ebpf/skep/vm/memory"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// putField writes one field of a context of linux/bpf.h: a number, an address, or
// a list for an array of fields.
func putField(ctx []byte, t *progtype.Type, e entry) error {
	fields := fieldsNamed(t, e.name)
	if len(fields) == 0 {
		return e.errorf("%s has no such field%s", t.CtxName, suggest.Name(e.name, names(t)))
	}
	first, last := fields[0], fields[len(fields)-1]
	if first.Kind != progtype.Scalar {
		return e.errorf("field %s is a pointer, which the run sets", first.Name)
	}
	dst := ctx[first.Off : last.Off+last.Size]
	if text, ok := e.value.(string); ok {
		addr, err := netip.ParseAddr(text)
		if err != nil || len(addr.AsSlice()) != len(dst) {
			return e.errorf("%q is neither a number nor an address of %d bytes", text, len(dst))
		}
		copy(dst, addr.AsSlice())
		return nil
	}
	if err := putNumbers(dst, fields, e.value); err != nil {
		return e.errorf("%w", err)
	}
	return nil
}

// fieldsNamed are the field of a name, or those of an array of it. Registers are
// found without the name of their structure, too.
func fieldsNamed(t *progtype.Type, name string) []progtype.Field {
	var array []progtype.Field
	for _, f := range t.Fields {
		if f.Name == name || f.Name == "regs."+name {
			return []progtype.Field{f}
		}
		if base, _, ok := strings.Cut(f.Name, "["); ok && base == name && (len(array) == 0 || f.Off == array[len(array)-1].Off+array[len(array)-1].Size) {
			array = append(array, f)
		}
	}
	return array
}

func names(t *progtype.Type) []string {
	var all []string
	for _, f := range t.Fields {
		base, _, _ := strings.Cut(f.Name, "[")
		if f.Kind == progtype.Scalar && !slices.Contains(all, base) {
			all = append(all, base)
		}
	}
	return all
}

// putNumbers writes a number, or a list of them: one for each field, or for each 4
// bytes of a field that is longer.
func putNumbers(dst []byte, fields []progtype.Field, value any) error {
	list, ok := value.([]any)
	if !ok {
		if len(fields) > 1 || len(dst) > 8 {
			return fmt.Errorf("want a list of %d numbers or an address", len(dst)/4)
		}
		return putNumber(dst, &fields[0], value)
	}
	if 4*len(list) > len(dst) {
		return fmt.Errorf("%d numbers are too many for %d", len(list), len(dst)/4)
	}
	for i, e := range list {
		if err := putNumber(dst[4*i:4*i+4], &fields[min(i, len(fields)-1)], e.(memory.At).Value); err != nil {
			return err
		}
	}
	return nil
}

func putNumber(dst []byte, f *progtype.Field, value any) error {
	size := len(dst)
	if f.NetOrder > 0 {
		size = int(f.NetOrder)
	}
	n, err := memory.Number(value, uint32(size), false)
	if err != nil {
		return err
	}
	switch f.NetOrder {
	case 2:
		binary.BigEndian.PutUint16(dst, uint16(n))
	case 4:
		binary.BigEndian.PutUint32(dst, uint32(n))
	default:
		putLittle(dst, n)
	}
	return nil
}

// putLittle writes a number into all of dst.
func putLittle(dst []byte, n uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	copy(dst, b[:])
}

var errNoFields = errors.New("fields need a type: make a named object under memory, and point to it with \"&name\"")
