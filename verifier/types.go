package verifier

import (
	"strings"

	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/ctype"
	"github.com/skep-ebpf/skep/vm/maps"
)

// types finds the one [Type] of each type of BTF.
type types struct {
	kernel *btf.Spec // nil: unknown
	loaded bool
	known  map[btf.Type]*Type
	// local are the program's own structs by their names: an object's types may come
	// in several copies, which are the same type to the kernel.
	local map[localType]*Type
	named map[string]*Type // the kernel's structs by their names; nil values: there is none
}

type localType struct {
	name  string
	size  uint32
	union bool
}

// kernelTypes gives the kernel's types, or nil where none are known.
func (c *checker) kernelTypes() *btf.Spec {
	t := &c.types
	if t.loaded {
		return t.kernel
	}
	t.loaded = true
	switch {
	case c.opts.KernelTypes != nil:
		t.kernel = c.opts.KernelTypes
	case c.img.KernelTypes != nil:
		t.kernel = c.img.KernelTypes
	default:
		// Where there is no Linux, calls and contexts that need its types are refused.
		t.kernel, _ = btf.LoadKernelSpec()
	}
	return t.kernel
}

// typeOf gives the one Type of a type without its typedefs, qualifiers and tags.
// kernel says whose it is.
func (c *checker) typeOf(t btf.Type, kernel bool) *Type {
	t = btf.UnderlyingType(t)
	if typ := c.types.known[t]; typ != nil {
		return typ
	}
	if c.types.known == nil {
		c.types.known, c.types.local = make(map[btf.Type]*Type), make(map[localType]*Type)
	}
	typ := &Type{Type: t, Name: t.TypeName(), Kernel: kernel}
	if !kernel {
		typ = c.types.ownType(typ)
	}
	c.types.known[t] = typ
	return typ
}

// ownType gives the Type that stands for a type of the program's own.
func (t *types) ownType(typ *Type) *Type {
	key, ok := localKey(typ.Type)
	if ok && t.local[key] != nil {
		return t.local[key]
	}
	typ.Fields = objectFields(typ.Type)
	if ok {
		t.local[key] = typ
	}
	return typ
}

func localKey(t btf.Type) (localType, bool) {
	switch t := t.(type) {
	case *btf.Struct:
		return localType{t.Name, t.Size, false}, t.Name != ""
	case *btf.Union:
		return localType{t.Name, t.Size, true}, t.Name != ""
	}
	return localType{}, false
}

// objectFields are the special fields of a struct of the program's own. Linux knows
// them only where a member is one itself: not of a struct that nests such a struct.
func objectFields(t btf.Type) maps.Fields {
	s, ok := t.(*btf.Struct)
	if !ok {
		return nil
	}
	for _, m := range s.Members {
		alone := &btf.Struct{Size: s.Size, Members: []btf.Member{m}}
		switch m.Type.(type) {
		case *btf.Struct, *btf.Pointer:
		default:
			continue
		}
		if isSpecial(m.Type, alone) {
			// Layouts that Linux refuses it refuses with the object's types.
			fields, err := maps.FieldsOf(t, maps.ObjectFields)
			if err != nil {
				return nil
			}
			return fields
		}
	}
	return nil
}

// isSpecial reports whether a member's type is a special field itself.
func isSpecial(t btf.Type, alone *btf.Struct) bool {
	if s, ok := t.(*btf.Struct); ok && !strings.HasPrefix(s.Name, "bpf_") {
		return false
	}
	fields, err := maps.FieldsOf(alone, maps.ObjectFields)
	return err != nil || len(fields) > 0
}

// kernelType gives the kernel's or a module's struct or union of a name, or nil.
func (c *checker) kernelType(name string) *Type {
	if t, ok := c.types.named[name]; ok {
		return t
	}
	if c.types.named == nil {
		c.types.named = make(map[string]*Type)
	}
	var found *Type
	for _, t := range ctype.Named(c.kernelTypes(), name) {
		switch t.(type) {
		case *btf.Struct, *btf.Union:
			if found == nil {
				found = c.typeOf(t, true)
			}
		}
	}
	if found == nil {
		found = c.moduleType(name)
	}
	c.types.named[name] = found
	return found
}

// localStruct gives the program's own struct of a name, or nil.
func (c *checker) localStruct(name string) *Type {
	for _, t := range ctype.Named(c.img.Types, name) {
		if s, ok := t.(*btf.Struct); ok {
			return c.typeOf(s, false)
		}
	}
	return nil
}

// kptrTarget gives what a kptr of a map's value or an object points to: the kernel's
// struct of its name or, where it has none, the program's own.
func (c *checker) kptrTarget(f *maps.Field) *Type {
	if f.Target == nil {
		return nil
	}
	if t := c.kernelType(f.Target.Name); t != nil {
		return t
	}
	return c.typeOf(f.Target, false)
}

// fields are the special fields of what a register points to: a map's value or an
// object of the program's own types.
func (r *Reg) fields() maps.Fields {
	switch {
	case r.Type == PtrToMapValue && r.Flags == 0:
		return r.Map.Fields
	case r.isObject():
		return r.BTF.Fields
	}
	return nil
}

// isObject reports whether a register points to an object of bpf_obj_new
// (type_is_ptr_alloc_obj).
func (r *Reg) isObject() bool {
	return r.Type == PtrToBTF && r.Flags&Alloc != 0 && r.Flags&MaybeNull == 0
}

// mayHoldLock reports whether a register points to something with a spin lock.
func (r *Reg) mayHoldLock() bool {
	return r.fields().Has(maps.FieldSpinLock | maps.FieldResSpinLock)
}

// kindName is a type's kind as Linux's log names it.
func kindName(t btf.Type) string {
	switch t.(type) {
	case *btf.Int:
		return "INT"
	case *btf.Pointer:
		return "PTR"
	case *btf.Array:
		return "ARRAY"
	case *btf.Struct:
		return "STRUCT"
	case *btf.Union:
		return "UNION"
	case *btf.Enum:
		return "ENUM"
	case *btf.Fwd:
		return "FWD"
	case *btf.Typedef:
		return "TYPEDEF"
	case *btf.Volatile:
		return "VOLATILE"
	case *btf.Const:
		return "CONST"
	case *btf.Restrict:
		return "RESTRICT"
	case *btf.Func:
		return "FUNC"
	case *btf.FuncProto:
		return "FUNC_PROTO"
	case *btf.Var:
		return "VAR"
	case *btf.Datasec:
		return "DATASEC"
	case *btf.Float:
		return "FLOAT"
	}
	return "UNKNOWN"
}

// sizeOf is a type's size in bytes; false where it has none, as void and functions.
func sizeOf(t btf.Type) (uint32, bool) {
	if _, void := btf.UnderlyingType(t).(*btf.Void); void {
		return 0, false
	}
	n, err := btf.Sizeof(t)
	return uint32(n), err == nil
}

// isScalar reports whether a type is a number.
func isScalar(t btf.Type) bool {
	switch btf.UnderlyingType(t).(type) {
	case *btf.Int, *btf.Enum:
		return true
	}
	return false
}

func isVoid(t btf.Type) bool {
	_, ok := btf.UnderlyingType(t).(*btf.Void)
	return ok
}

// members are the members of a struct or union; ok is false of anything else.
func members(t btf.Type) (ms []btf.Member, size uint32, ok bool) {
	switch t := btf.UnderlyingType(t).(type) {
	case *btf.Struct:
		return t.Members, t.Size, true
	case *btf.Union:
		return t.Members, t.Size, true
	}
	return nil, 0, false
}

// pointee is what a pointer points to; false of anything else.
func pointee(t btf.Type) (btf.Type, bool) {
	p, ok := btf.UnderlyingType(t).(*btf.Pointer)
	if !ok {
		return nil, false
	}
	return p.Target, true
}

// hasTag reports whether a type is marked with a type tag.
func hasTag(t btf.Type, tag string) bool {
	for range ctype.MaxDepth {
		switch q := t.(type) {
		case *btf.TypeTag:
			if q.Value == tag {
				return true
			}
			t = q.Type
		case *btf.Const:
			t = q.Type
		case *btf.Volatile:
			t = q.Type
		case *btf.Restrict:
			t = q.Type
		case *btf.Typedef:
			t = q.Type
		default:
			return false
		}
	}
	return false
}

// isScalarStruct reports whether a type is a struct of nothing but numbers, arrays
// of numbers and such structs, up to four levels deep.
func isScalarStruct(t btf.Type, level int) bool {
	ms, _, ok := members(t)
	if !ok {
		return false
	}
	for _, m := range ms {
		if _, _, nested := members(m.Type); nested {
			if level >= 3 || !isScalarStruct(m.Type, level+1) {
				return false
			}
			continue
		}
		t := btf.UnderlyingType(m.Type)
		if array, ok := t.(*btf.Array); ok {
			if array.Nelems == 0 {
				return false
			}
			t = array.Type
		}
		if !isScalar(t) {
			return false
		}
	}
	return true
}
