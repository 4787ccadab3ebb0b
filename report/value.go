package report

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"

	"github.com/cilium/ebpf/btf"
)

// Value is the bytes of a value, in little-endian byte order as all machines of
// skep have it, and the BTF type that says what they mean.
//
// As text it reads like a C initializer: {pid = 42, comm = "sshd", state =
// RUNNING}. As JSON, structs are objects with their members in declared order,
// arrays are arrays, 64-bit integers are numbers. In both
//
//   - members of anonymous structs and unions stand among their parent's, as in C;
//   - an array of char is a string up to its first NUL if that is printable;
//   - other arrays of bytes are hex: [02 00 5e] as text, "02005e" as JSON;
//   - enumerators are shown by name, unknown ones as numbers;
//   - __be16, __be32 and __be64 are byte-swapped: the type says that they are
//     big-endian. It does not say that they are addresses, so they are numbers;
//   - struct in_addr and struct in6_addr are addresses;
//   - pointers are hex, and strings in JSON.
//
// Nothing else is guessed. In text, long runs of zeroes in an array are elided.
type Value struct {
	Type btf.Type // nil or void: not known, the bytes are shown in hex
	Data []byte
}

// Limits on what hostile BTF can make of a small value.
const (
	maxDepth  = 32 // of nested types
	maxNodes  = 1 << 16
	maxStrips = 64 // typedefs and qualifiers around a type
)

// Runs of zeroes in arrays that are elided in text, in elements and bytes.
const (
	elideElems = 8
	elideBytes = 16
)

// AppendText implements encoding.TextAppender. It fails where the bytes are not
// of the type's size.
func (v Value) AppendText(dst []byte) ([]byte, error) {
	if unknown(v.Type) {
		return appendGrouped(dst, v.Data), nil
	}
	return v.print(dst, false)
}

// Text is the value as text.
func (v Value) Text() (string, error) {
	b, err := v.AppendText(nil)
	return string(b), err
}

// MarshalJSON implements json.Marshaler.
func (v Value) MarshalJSON() ([]byte, error) {
	if unknown(v.Type) {
		return appendHexString(nil, v.Data), nil
	}
	return v.print(nil, true)
}

func (v Value) print(dst []byte, json bool) ([]byte, error) {
	size, err := btf.Sizeof(v.Type)
	if err != nil {
		return dst, fmt.Errorf("print value: %w", err)
	}
	if size != len(v.Data) {
		return dst, fmt.Errorf("print value: %d bytes are no %s, which has %d", len(v.Data), typeName(v.Type), size)
	}
	p := printer{buf: dst, json: json, nodes: maxNodes + 64*len(v.Data)}
	if err := p.value(v.Type, v.Data, 0); err != nil {
		return dst, fmt.Errorf("print value of %s: %w", typeName(v.Type), err)
	}
	return p.buf, nil
}

// appendGrouped appends bytes in hex, in groups of eight.
func appendGrouped(dst, data []byte) []byte {
	for i, b := range data {
		if i > 0 {
			dst = append(dst, ' ')
		}
		if i > 0 && i%8 == 0 {
			dst = append(dst, ' ')
		}
		dst = hex.AppendEncode(dst, []byte{b})
	}
	return dst
}

// appendHexString appends bytes as a JSON string.
func appendHexString(dst, data []byte) []byte {
	dst = append(dst, '"')
	dst = hex.AppendEncode(dst, data)
	return append(dst, '"')
}

// printer appends one value in one form.
type printer struct {
	buf   []byte
	json  bool
	nodes int // that may still be printed
}

var (
	errDeep  = errors.New("its type is nested too deeply")
	errLarge = errors.New("its type has more members than its bytes can be")
	errShort = errors.New("its type reaches beyond its own size")
)

// value appends data as a value of type t.
func (p *printer) value(t btf.Type, data []byte, depth int) error {
	if p.nodes--; p.nodes < 0 {
		return errLarge
	}
	if depth > maxDepth {
		return errDeep
	}
	t, swapped, err := strip(t)
	if err != nil {
		return err
	}
	switch t := t.(type) {
	case *btf.Struct:
		if addr, ok := address(t, data); ok {
			p.str(addr.String())
			return nil
		}
		return p.composite(t.Members, data, depth)
	case *btf.Union:
		return p.composite(t.Members, data, depth)
	case *btf.Datasec:
		return p.composite(variables(t), data, depth)
	case *btf.Array:
		return p.array(t, data, depth)
	case *btf.Float:
		p.float(data)
		return nil
	case *btf.Int, *btf.Enum, *btf.Pointer:
		if len(data) > 8 {
			p.wide(data)
			return nil
		}
		if swapped {
			data = slices.Clone(data)
			slices.Reverse(data)
		}
		p.scalar(t, littleEndian(data), 8*len(data))
		return nil
	}
	return fmt.Errorf("a %s has no value", typeName(t))
}

// composite appends a struct, union or section of variables.
func (p *printer) composite(members []btf.Member, data []byte, depth int) error {
	p.buf = append(p.buf, '{')
	first := true
	if err := p.members(members, data, depth, &first); err != nil {
		return err
	}
	p.buf = append(p.buf, '}')
	return nil
}

func (p *printer) members(members []btf.Member, data []byte, depth int, first *bool) error {
	if depth > maxDepth {
		return errDeep
	}
	for _, m := range members {
		if inner, ok := anonymous(m); ok {
			if p.nodes--; p.nodes < 0 {
				return errLarge
			}
			part, err := slice(data, m)
			if err != nil {
				return err
			}
			if err := p.members(inner, part, depth+1, first); err != nil {
				return err
			}
			continue
		}
		if m.Name == "" { // padding
			continue
		}
		if !*first {
			p.separator()
		}
		*first = false
		p.name(m.Name)
		if err := p.member(m, data, depth); err != nil {
			return fmt.Errorf("member %s: %w", m.Name, err)
		}
	}
	return nil
}

// member appends one member's value out of its struct's bytes.
func (p *printer) member(m btf.Member, data []byte, depth int) error {
	if m.BitfieldSize == 0 {
		part, err := slice(data, m)
		if err != nil {
			return err
		}
		return p.value(m.Type, part, depth+1)
	}
	raw, err := bitfield(data, m)
	if err != nil {
		return err
	}
	t, _, err := strip(m.Type)
	if err != nil {
		return err
	}
	p.scalar(t, raw, int(m.BitfieldSize))
	return nil
}

func (p *printer) array(t *btf.Array, data []byte, depth int) error {
	size, err := btf.Sizeof(t.Type)
	if err != nil {
		return err
	}
	if size*int(t.Nelems) != len(data) {
		return errShort
	}
	elem, _, err := strip(t.Type)
	if err != nil {
		return err
	}
	if i, ok := elem.(*btf.Int); ok && i.Size == 1 && i.Encoding != btf.Bool {
		p.bytes(data, isChar(i))
		return nil
	}
	p.buf = append(p.buf, '[')
	for i := 0; i < int(t.Nelems); i++ {
		if i > 0 {
			p.separator()
		}
		if !p.json && size > 0 {
			if n := zeroes(data[i*size:]) / size; n >= elideElems {
				p.buf = fmt.Appendf(p.buf, "… %d zero", n)
				i += n - 1
				continue
			}
		}
		if err := p.value(t.Type, data[i*size:(i+1)*size], depth+1); err != nil {
			return err
		}
	}
	p.buf = append(p.buf, ']')
	return nil
}

// bytes appends an array of bytes: a string where it is one, hex otherwise.
func (p *printer) bytes(data []byte, char bool) {
	if char {
		if s, ok := cString(data); ok {
			p.quoted(s)
			return
		}
	}
	if p.json {
		p.buf = appendHexString(p.buf, data)
		return
	}
	p.buf = append(p.buf, '[')
	for i := 0; i < len(data); i++ {
		if i > 0 {
			p.buf = append(p.buf, ' ')
		}
		if n := zeroes(data[i:]); n >= elideBytes {
			p.buf = fmt.Appendf(p.buf, "… %d zero", n)
			i += n - 1
			continue
		}
		p.buf = hex.AppendEncode(p.buf, data[i:i+1])
	}
	p.buf = append(p.buf, ']')
}

// scalar appends an integer, enumerator or pointer of so many bits.
func (p *printer) scalar(t btf.Type, raw uint64, bits int) {
	switch t := t.(type) {
	case *btf.Enum:
		if name, ok := enumerator(t, raw, bits); ok {
			p.str(name)
			return
		}
		p.integer(raw, bits, t.Signed)
	case *btf.Pointer:
		p.str("0x" + strconv.FormatUint(raw, 16))
	case *btf.Int:
		if t.Encoding == btf.Bool && raw <= 1 {
			p.buf = strconv.AppendBool(p.buf, raw == 1)
			return
		}
		p.integer(raw, bits, t.Encoding == btf.Signed)
	default:
		p.integer(raw, bits, false)
	}
}

func (p *printer) integer(raw uint64, bits int, signed bool) {
	if signed {
		p.buf = strconv.AppendInt(p.buf, signExtend(raw, bits), 10)
		return
	}
	p.buf = strconv.AppendUint(p.buf, raw, 10)
}

// wide appends an integer of more than 64 bits, in hex.
func (p *printer) wide(data []byte) {
	be := slices.Clone(data)
	slices.Reverse(be)
	p.str("0x" + new(big.Int).SetBytes(be).Text(16))
}

func (p *printer) separator() {
	p.buf = append(p.buf, ',')
	if !p.json {
		p.buf = append(p.buf, ' ')
	}
}

func (p *printer) name(name string) {
	if p.json {
		p.buf = append(appendJSONString(p.buf, name), ':')
		return
	}
	p.buf = append(append(p.buf, harmless(name)...), " = "...)
}

// str appends what is a bare word as text and a string in JSON.
func (p *printer) str(s string) {
	if p.json {
		p.buf = appendJSONString(p.buf, s)
		return
	}
	p.buf = append(p.buf, harmless(s)...)
}

// quoted appends a string.
func (p *printer) quoted(s string) {
	if p.json {
		p.buf = appendJSONString(p.buf, s)
		return
	}
	p.buf = strconv.AppendQuote(p.buf, s)
}

func appendJSONString(dst []byte, s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil { // a string has no cause for one
		return strconv.AppendQuote(dst, s)
	}
	return append(dst, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}
