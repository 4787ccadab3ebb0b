package memory

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/ctype"
	"github.com/skep-ebpf/skep/internal/suggest"
)

// typeByName finds a type as C names it.
func (m *Memory) typeByName(name string) (btf.Type, error) {
	tag := bare(strings.TrimSpace(name))
	if elem, count, ok := strings.Cut(strings.TrimSuffix(tag, "]"), "["); ok {
		n, err := strconv.ParseUint(count, 0, 32)
		if err != nil {
			return nil, fmt.Errorf("type %s: the number of elements is not one", name)
		}
		t, err := m.typeByName(elem)
		return &btf.Array{Type: t, Nelems: uint32(n)}, err
	}
	for _, types := range m.types {
		all, err := types.AnyTypesByName(tag)
		if err != nil && !errors.Is(err, btf.ErrNotFound) {
			return nil, fmt.Errorf("type %s: %w", name, err)
		}
		for _, t := range all { // functions and variables have names of their own
			if _, err := btf.Sizeof(t); err == nil {
				return t, nil
			}
		}
	}
	return nil, fmt.Errorf("there is no type %s", name)
}

// bare is a type's name without what kind of type it is: "task_struct".
func bare(name string) string {
	for _, prefix := range []string{"struct ", "union ", "enum "} {
		name = strings.TrimPrefix(name, prefix)
	}
	return name
}

// isText reports whether a type is one byte of text.
func isText(typ btf.Type) bool {
	i, ok := btf.UnderlyingType(typ).(*btf.Int)
	return ok && i.Size == 1
}

// field finds a field by its name, in structures without a name too. Its offset
// is from the beginning of typ.
func field(typ btf.Type, name string) (btf.Member, bool) {
	for _, f := range ctype.Members(typ) {
		if f.Name == name {
			return f, true
		}
		if f.Name != "" {
			continue
		}
		if inner, ok := field(f.Type, name); ok {
			inner.Offset += f.Offset
			return inner, true
		}
	}
	return btf.Member{}, false
}

// fieldNames are the names that field finds.
func fieldNames(typ btf.Type) []string {
	var all []string
	for _, f := range ctype.Members(typ) {
		if f.Name == "" {
			all = append(all, fieldNames(f.Type)...)
			continue
		}
		all = append(all, f.Name)
	}
	return all
}

// unknownField says that a type has no such field.
func unknownField(typ btf.Type, name string) error {
	return fmt.Errorf("%s has no field %s%s", ctype.Name(typ), name, suggest.Name(name, fieldNames(typ)))
}

// offsetOf is where a path of fields leads, in bytes.
func offsetOf(typ btf.Type, path string) (uint32, error) {
	var off uint32
	for name := range strings.SplitSeq(path, ".") {
		f, ok := field(typ, name)
		if !ok {
			return 0, unknownField(typ, name)
		}
		off += f.Offset.Bytes()
		typ = f.Type
	}
	return off, nil
}

func (m *Memory) unknownObject(name string) error {
	var known []string
	for n := range m.named {
		known = append(known, n)
	}
	return fmt.Errorf("there is no object named %s%s", name, suggest.Name(name, known))
}
