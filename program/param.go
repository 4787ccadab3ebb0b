package program

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/ctype"
	"github.com/skep-ebpf/skep/internal/suggest"
)

// Param is a variable that a program declares const volatile, to be set before
// it is loaded.
type Param struct {
	Name string
	Type btf.Type // without the qualifiers
	// Value is what the variable holds now, in memory order: the default of the
	// source, or what Set put there. It must not be changed.
	Value []byte
}

// Params gives the program's parameters in the order of their names.
func (p *Program) Params() []Param {
	var params []Param
	for name, v := range p.Spec.Variables {
		if isConst(v) && v.Type != nil && isVolatile(v.Type.Type) {
			params = append(params, Param{name, ctype.Unqualified(v.Type.Type), v.Value})
		}
	}
	slices.SortFunc(params, func(a, b Param) int { return strings.Compare(a.Name, b.Name) })
	return params
}

// Set gives a parameter, or another global variable, its initial value. The name
// may go on to a field or an element: "limits.rate", "ports[2]".
//
// The value is read by the variable's type:
//   - a number: decimal, 0x hexadecimal, 0b binary, 0 octal; in the order of the
//     host, and of the network where the type is __be16, __be32 or __be64
//   - a bool: true, false, y, n, 1, 0
//   - an enum: the name of a value, or a number
//   - an IPv4 address for 4 bytes (a 32-bit number too) and an IPv6 address for
//     16, a MAC address for 6; always in the order of the network
//   - characters: text, which leaves room for the NUL behind it
//   - another array: values with commas between, in [] or without; those left out are 0
//   - a struct: its fields as {addr = 10.0.0.1, port = 80}; those left out are 0
//   - a key of an LPM trie: a prefix, 10.0.0.0/8
//
// The error is one sentence.
func (p *Program) Set(name, value string) error {
	if err := p.set(name, value); err != nil {
		return fmt.Errorf("set %s: %w", name, sentence(err))
	}
	return nil
}

func (p *Program) set(name, value string) error {
	base, path := splitPath(name)
	v := p.Spec.Variables[base]
	switch {
	case v == nil:
		return fmt.Errorf("there is no such parameter%s", p.suggest(base))
	case v.Type == nil:
		return errors.New("its type is not known: build the program with clang -g")
	case isConst(v) && !isVolatile(v.Type.Type):
		return errors.New("it is const, so that the compiler may have built its value into the program: declare it const volatile")
	}
	return putPath(v.Value, v.Type.Type, path, value)
}

// PutValue writes a value into memory of a type's size, or into a part of it: the path
// is "", or goes on to a field or an element, as ".rate" or "[2]". See [Program.Set] for
// the forms. The error is one sentence.
func PutValue(dst []byte, typ btf.Type, path, value string) error {
	if err := putPath(dst, typ, path, value); err != nil {
		return sentence(err)
	}
	return nil
}

func putPath(dst []byte, typ btf.Type, path, value string) error {
	dst, typ, err := descend(dst, typ, path)
	if err != nil {
		return err
	}
	put := make([]byte, len(dst)) // so that an error leaves the variable as it was
	if err := putValue(put, typ, value); err != nil {
		return fmt.Errorf("%w (its type is %s)", err, ctype.Name(typ))
	}
	copy(dst, put)
	return nil
}

// suggest ends a sentence about an unknown parameter.
func (p *Program) suggest(name string) string {
	var names []string
	for _, param := range p.Params() {
		names = append(names, param.Name)
	}
	return suggest.Name(name, names)
}

func isConst(v *ebpf.VariableSpec) bool { return strings.HasPrefix(v.SectionName, ".rodata") }

// isVolatile reports whether a type, or an array's element, is volatile.
func isVolatile(typ btf.Type) bool {
	for range ctype.MaxDepth {
		switch t := typ.(type) {
		case *btf.Volatile:
			return true
		case *btf.Const:
			typ = t.Type
		case *btf.Typedef:
			typ = t.Type
		case *btf.Array:
			typ = t.Type
		default:
			return false
		}
	}
	return false
}

// splitPath splits "limits.rate" into "limits" and ".rate".
func splitPath(name string) (base, path string) {
	if i := strings.IndexAny(name, ".["); i >= 0 {
		return name[:i], name[i:]
	}
	return name, ""
}

// descend follows a path of ".field" and "[index]" into a value.
func descend(value []byte, typ btf.Type, path string) ([]byte, btf.Type, error) {
	for path != "" {
		step := path[1:]
		switch t := btf.UnderlyingType(typ).(type) {
		case *btf.Array:
			text, rest, ok := strings.Cut(step, "]")
			i, err := strconv.ParseUint(text, 10, 32)
			if path[0] != '[' || !ok || err != nil {
				return nil, nil, fmt.Errorf("%s is an array: write [index] behind its name", ctype.Name(typ))
			}
			if i >= uint64(t.Nelems) {
				return nil, nil, fmt.Errorf("index %d is outside of %s", i, ctype.Name(typ))
			}
			size, err := btf.Sizeof(t.Type)
			if err != nil || (i+1)*uint64(size) > uint64(len(value)) {
				return nil, nil, fmt.Errorf("%s has a wrong size", ctype.Name(typ))
			}
			value, typ, path = value[i*uint64(size):(i+1)*uint64(size)], t.Type, rest
		case *btf.Struct, *btf.Union:
			name, rest := splitPath(step)
			if path[0] != '.' {
				return nil, nil, fmt.Errorf("%s has fields: write .field behind its name", ctype.Name(typ))
			}
			field, err := findField(value, t, name)
			if err != nil {
				return nil, nil, err
			}
			value, typ, path = field.value, field.typ, rest
		default:
			return nil, nil, fmt.Errorf("%s has neither fields nor elements", ctype.Name(typ))
		}
	}
	return value, typ, nil
}

type field struct {
	value []byte
	typ   btf.Type
}

// findField finds a member of a struct or union, also inside anonymous ones.
func findField(value []byte, typ btf.Type, name string) (field, error) {
	var names []string
	f, ok, err := searchField(value, typ, name, &names, 0)
	if err == nil && !ok {
		err = fmt.Errorf("%s has no field %s%s", ctype.Name(typ), name, suggest.Name(name, names))
	}
	return f, err
}

func searchField(value []byte, typ btf.Type, name string, names *[]string, depth int) (field, bool, error) {
	for _, m := range ctype.Members(typ) {
		if m.Name != "" {
			*names = append(*names, m.Name)
		}
		if m.Name != name && m.Name != "" {
			continue
		}
		if m.BitfieldSize > 0 {
			return field{}, false, fmt.Errorf("field %s is a bit field, which cannot be set alone", name)
		}
		size, err := btf.Sizeof(m.Type)
		start := uint64(m.Offset.Bytes())
		if err != nil || start+uint64(size) > uint64(len(value)) {
			return field{}, false, fmt.Errorf("field %s has a wrong size", name)
		}
		f := field{value[start : start+uint64(size)], m.Type}
		if m.Name == name {
			return f, true, nil
		}
		if depth == ctype.MaxDepth {
			continue
		}
		if f, ok, err := searchField(f.value, m.Type, name, names, depth+1); ok || err != nil {
			return f, ok, err
		}
	}
	return field{}, false, nil
}
