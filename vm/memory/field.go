package memory

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf/btf"
)

// Field is where a field lies in its structure, for functions of the kernel's that
// read and write it.
type Field struct {
	Offset, Size uint32 // bytes; of a bit field, of the bytes that it is in
	Bit, Bits    uint32 // of a bit field: where it begins in those bytes, and its width; Bits 0: none
}

// FieldOf finds a field of a structure by its path: "snd_cwnd", "scx.slice".
func FieldOf(types *btf.Spec, structure, path string) (Field, error) {
	if types == nil {
		return Field{}, errors.New("the kernel's types are not known")
	}
	typ, err := New(types).typeByName(structure)
	if err != nil {
		return Field{}, err
	}
	var at btf.Member
	var offset btf.Bits
	for name := range strings.SplitSeq(path, ".") {
		var ok bool
		if at, ok = field(typ, name); !ok {
			return Field{}, unknownField(typ, name)
		}
		offset, typ = offset+at.Offset, at.Type
	}
	if at.BitfieldSize > 0 {
		return bitField(offset, at.BitfieldSize), nil
	}
	size, err := btf.Sizeof(typ)
	if err != nil {
		return Field{}, fmt.Errorf("field %s of struct %s: %w", path, structure, err)
	}
	return Field{Offset: offset.Bytes(), Size: uint32(size)}, nil
}

// bitField is one that begins at a bit of its structure.
func bitField(offset, bits btf.Bits) Field {
	first, end := offset/8, (offset+bits+7)/8
	return Field{Offset: uint32(first), Size: uint32(end - first), Bit: uint32(offset % 8), Bits: uint32(bits)}
}

// End is how long a structure must be to have the field, in bytes.
func (f Field) End() uint32 { return f.Offset + f.Size }

// Get is the number in a field of the structure b; that of a longer field begins
// with its first 8 bytes.
func (f Field) Get(b []byte) uint64 {
	var v uint64
	for i := range min(f.Size, 8) {
		v |= uint64(b[f.Offset+i]) << (8 * i)
	}
	if f.Bits > 0 {
		v = v >> f.Bit & (1<<f.Bits - 1)
	}
	return v
}

// Put writes a number into a field of the structure b; what does not fit is cut off.
func (f Field) Put(b []byte, v uint64) {
	if f.Bits > 0 {
		mask := uint64(1<<f.Bits-1) << f.Bit
		old := Field{Offset: f.Offset, Size: f.Size}.Get(b)
		v = old&^mask | v<<f.Bit&mask
	}
	for i := range min(f.Size, 8) {
		b[f.Offset+i] = byte(v >> (8 * i))
	}
}
