package interp

import (
	"fmt"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/helper"
	"github.com/skep-ebpf/skep/vm/maps"
	"github.com/skep-ebpf/skep/vm/object"
)

// held is the memory that a pointer into an object or into a map's value with
// special fields may reach, and those fields.
func (m *machine) held(from exec.Prov) (base uintptr, fields maps.Fields, ok bool) {
	if from.Region() == exec.RegionHeap {
		o, ok := object.Get(from.Elem())
		if !ok {
			return 0, nil, false
		}
		return o.Base, o.Layout.Fields, true
	}
	h := from.Region().Handle()
	if h == 0 {
		return 0, nil, false
	}
	mp := maps.Get(h)
	if mp == nil || len(mp.Info().Fields) == 0 {
		return 0, nil, false
	}
	return m.state.Region(from).Base, mp.Info().Fields, true
}

// pointerFields are those that programs may load, and what is loaded is a
// pointer.
const pointerFields = maps.FieldKptr | maps.FieldKptrUntrusted | maps.FieldKptrPercpu | maps.FieldUptr

// touches gives the special field that an access of n bytes at a touches, or nil.
func touches(base uintptr, fields maps.Fields, a, n uintptr) *maps.Field {
	at := a - base
	for i := range fields {
		if f := &fields[i]; at < uintptr(f.Offset)+uintptr(f.Size) && uintptr(f.Offset) < at+n {
			return f
		}
	}
	return nil
}

// keeping are the fields that keep objects, which no helper may take for plain
// memory either.
const keeping = pointerFields | maps.FieldListHead | maps.FieldListNode | maps.FieldRBRoot | maps.FieldRBNode

// guards says why an access must not be made because of a special field of one
// of the kinds, or "".
func (m *machine) guards(from exec.Prov, a, n uintptr, kind access, kinds maps.FieldKind) string {
	base, fields, ok := m.held(from)
	if !ok {
		return ""
	}
	f := touches(base, fields, a, n)
	switch {
	case f == nil || f.Kind&kinds == 0:
		return ""
	case f.Kind&pointerFields == 0:
		return fmt.Sprintf("points to a %s, which only helpers and kernel functions access", f.Kind)
	case n != 8 || a != base+uintptr(f.Offset):
		return fmt.Sprintf("points to a %s, which is loaded as a whole", f.Kind)
	case kind != loads && f.Kind != maps.FieldKptrUntrusted:
		return fmt.Sprintf("points to a %s, which is changed with bpf_kptr_xchg", f.Kind)
	}
	return ""
}

// loadPointer does a load of a pointer from a special field. It gives false where
// the access is none.
func (m *machine) loadPointer(o *op, from exec.Prov, a, n uintptr, kind access) bool {
	if kind != loads || n != 8 {
		return false
	}
	base, fields, ok := m.held(from)
	if !ok {
		return false
	}
	if f := touches(base, fields, a, n); f == nil || f.Kind&pointerFields == 0 {
		return false
	}
	v := loadWidth(a, 8)
	m.reg[o.dst] = v
	m.prov[o.dst] = 0
	if v != 0 {
		m.prov[o.dst] = m.state.ProvOf(uintptr(v))
	}
	return true
}

// object holds an argument that is an object, or a field of one or of a map's
// value.
func (m *machine) object(h *helper.Helper, kind helper.Arg, r int) string {
	from, a := m.prov[r], uintptr(m.reg[r])
	switch kind {
	case helper.ArgPtrToOwnedOrNull, helper.ArgPtrToOwned:
		if a == 0 && kind == helper.ArgPtrToOwnedOrNull {
			return ""
		}
		if base := m.state.Region(from).Base; from.Region() == exec.RegionNone && from != exec.Nowhere || base != 0 && a != base {
			return "is not the beginning of an object"
		}
		if !m.state.Disown(from) {
			return "is not an object that the program owns"
		}
		return ""
	case helper.ArgPtrToObject:
		if base := m.state.Region(from).Base; from.Region() != exec.RegionHeap && from.Region() != exec.RegionBTF || a != base {
			return "is not the beginning of an object"
		}
		return ""
	}
	base, fields, ok := m.held(from)
	want := fieldArgs[kind]
	f := (*maps.Field)(nil)
	if ok {
		f = fields.At(uint32(a - base))
	}
	if f == nil || f.Kind&want == 0 {
		return fmt.Sprintf("does not point to a %s", want)
	}
	if kind == helper.ArgPtrToOwnedNode && !m.state.Disown(from) {
		return "is in an object that the program does not own"
	}
	return ""
}

// fieldArgs are the kinds of arguments that are fields.
var fieldArgs = map[helper.Arg]maps.FieldKind{
	helper.ArgPtrToKptr:      maps.FieldKptr | maps.FieldKptrPercpu,
	helper.ArgPtrToListHead:  maps.FieldListHead,
	helper.ArgPtrToRBRoot:    maps.FieldRBRoot,
	helper.ArgPtrToOwnedNode: maps.FieldListNode | maps.FieldRBNode,
	helper.ArgPtrToListNode:  maps.FieldListNode,
	helper.ArgPtrToRBNode:    maps.FieldRBNode,

	helper.ArgPtrToSpinLock:    maps.FieldSpinLock,
	helper.ArgPtrToResSpinLock: maps.FieldResSpinLock,
	helper.ArgPtrToTimer:       maps.FieldTimer,
	helper.ArgPtrToWorkqueue:   maps.FieldWorkqueue,
	helper.ArgPtrToTaskWork:    maps.FieldTaskWork,
}

// acquired notes that a function which acquires gave a reference, and which call
// it was.
func (m *machine) acquired(insn int, h *helper.Helper) {
	if h.Flags&helper.Acquire != 0 && h.Ret != helper.RetInteger && m.reg[isa.R0] != 0 {
		m.state.Own(m.prov[isa.R0])
	}
	for i := range m.state.References {
		if r := &m.state.References[i]; r.Insn < 0 {
			r.Insn = insn
		}
	}
}
