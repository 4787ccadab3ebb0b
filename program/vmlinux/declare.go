package vmlinux

import (
	"fmt"
	"strings"

	"github.com/cilium/ebpf/btf"
)

// declare is the declaration of a name as a type. C writes those inside out: what
// comes first in the type stands closest to the name.
func (w *writer) declare(typ btf.Type, name string, tabs int) (string, error) {
	var qualifiers, tags string
	qualify := func(word string) { // once: an array and its elements may both be const
		if !strings.Contains(qualifiers, word) {
			qualifiers += word
		}
	}
	pointer := false // the name has a star in front, which binds weaker than [] and ()
	for range maxDepth {
		switch t := typ.(type) {
		case *btf.Const:
			qualify("const ")
			typ = t.Type
		case *btf.Volatile:
			qualify("volatile ")
			typ = t.Type
		case *btf.Restrict:
			qualify("restrict ")
			typ = t.Type
		case *btf.TypeTag:
			tags, typ = fmt.Sprintf("__btf_type_tag(%q) ", t.Value)+tags, t.Type
		case *btf.Pointer:
			name, typ = "*"+tags+qualifiers+name, t.Target
			qualifiers, tags, pointer = "", "", true
		case *btf.Array:
			if pointer {
				name = "(" + name + ")"
			}
			name, typ = fmt.Sprintf("%s[%d]", name, t.Nelems), t.Type
			pointer = false
		case *btf.FuncProto:
			if pointer {
				name = "(" + name + ")"
			}
			params, err := w.params(t, tabs)
			if err != nil {
				return "", err
			}
			name, typ = name+params, t.Return
			qualifiers, tags, pointer = "", "", false
		default:
			base, err := w.base(typ, tabs)
			return strings.TrimSpace(qualifiers + base + " " + tags + name), err
		}
	}
	return "", fmt.Errorf("%s is of a type that refers to itself", name)
}

func (w *writer) params(t *btf.FuncProto, tabs int) (string, error) {
	if len(t.Params) == 0 {
		return "(void)", nil
	}
	var list []string
	for i, p := range t.Params {
		if _, void := p.Type.(*btf.Void); void && i == len(t.Params)-1 {
			if i > 0 { // C has no way to say that nothing comes before
				list = append(list, "...")
			}
			break
		}
		name := ""
		if p.Name != "" {
			name = member(p.Name)
		}
		text, err := w.declare(p.Type, name, tabs)
		if err != nil {
			return "", err
		}
		list = append(list, text)
	}
	return "(" + strings.Join(list, ", ") + ")", nil
}

// base is a type that is no pointer, array or function.
func (w *writer) base(typ btf.Type, tabs int) (string, error) {
	switch t := typ.(type) {
	case *btf.Void:
		return "void", nil
	case *btf.Int:
		return integer(t), nil
	case *btf.Float:
		return floating(t)
	case *btf.Typedef:
		return w.names.of[t], nil
	case *btf.Enum, *btf.Fwd:
		return w.names.tagged(t), nil
	case *btf.Struct, *btf.Union:
		if t.TypeName() == "" {
			return w.record(w.names.tagged(t), t, tabs)
		}
		return w.names.tagged(t), nil
	}
	return "", fmt.Errorf("no type of C is like %v", typ)
}

// sizes are C's names of integers that compilers write into BTF, and their sizes
// in bytes on BPF.
var sizes = map[string]uint32{
	"_Bool": 1, "char": 1, "signed char": 1, "unsigned char": 1,
	"short": 2, "short int": 2, "unsigned short": 2, "short unsigned int": 2,
	"int": 4, "unsigned int": 4,
	"long": 8, "long int": 8, "unsigned long": 8, "long unsigned int": 8,
	"long long": 8, "long long int": 8, "unsigned long long": 8, "long long unsigned int": 8,
	"__int128": 16, "unsigned __int128": 16,
}

// integer is an integer by its own name, or by what C calls one like it: on
// 32-bit processors long is shorter, and other languages have other names.
func integer(t *btf.Int) string {
	if sizes[t.Name] == t.Size {
		return t.Name
	}
	if t.Encoding == btf.Bool && t.Size == 1 {
		return "_Bool"
	}
	name := map[uint32]string{1: "char", 2: "short", 4: "int", 8: "long long", 16: "__int128"}[t.Size]
	if t.Encoding == btf.Signed {
		return "signed " + name
	}
	return "unsigned " + name
}

// floating is a floating point number. BPF has no instructions for them, but
// kernels have them in structures.
func floating(t *btf.Float) (string, error) {
	switch t.Size {
	case 2:
		return "_Float16", nil
	case 4:
		return "float", nil
	case 8:
		return "double", nil
	}
	return fmt.Sprintf("struct { char bytes[%d] __attribute__((aligned(%[1]d))); }", t.Size), nil
}
