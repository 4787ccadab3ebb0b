package maps

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/errno"
)

// structFields are the kinds that are a struct of a certain name.
var structFields = map[string]struct {
	kind  FieldKind
	size  uint32
	align uint32
	once  bool
}{
	"bpf_spin_lock":     {FieldSpinLock, 4, 4, true},
	"bpf_res_spin_lock": {FieldResSpinLock, 4, 4, true},
	"bpf_timer":         {FieldTimer, 16, 8, true},
	"bpf_wq":            {FieldWorkqueue, 16, 8, true},
	"bpf_task_work":     {FieldTaskWork, 8, 8, true},
	"bpf_refcount":      {FieldRefcount, 4, 4, true},
	"bpf_list_head":     {FieldListHead, 16, 8, false},
	"bpf_list_node":     {FieldListNode, 24, 8, false},
	"bpf_rb_root":       {FieldRBRoot, 16, 8, false},
	"bpf_rb_node":       {FieldRBNode, 32, 8, false},
}

// kptrTags are the type tags of pointers that are kept.
var kptrTags = map[string]FieldKind{
	"kptr_untrusted": FieldKptrUntrusted,
	"kptr":           FieldKptr,
	"percpu_kptr":    FieldKptrPercpu,
	"uptr":           FieldUptr,
}

// FieldsOf finds the special fields of the given kinds in a struct or a data
// section, under Linux's rules: at most one lock, timer, workqueue and count,
// lists and trees only beside a lock. Types that are neither have none.
func FieldsOf(t btf.Type, kinds FieldKind) (Fields, error) {
	if t == nil {
		return nil, nil
	}
	f := finder{kinds: kinds}
	var err error
	switch t := btf.UnderlyingType(t).(type) {
	case *btf.Struct:
		err = f.members(t, 0, 0)
	case *btf.Datasec:
		for _, v := range t.Vars {
			if variable, ok := v.Type.(*btf.Var); ok && err == nil {
				err = f.one(variable.Type, variable.Tags, v.Offset, v.Size, 0)
			}
		}
	}
	if err == nil {
		err = f.check()
	}
	if err != nil {
		return nil, fmt.Errorf("special fields of %s: %w", t.TypeName(), err)
	}
	return f.found, nil
}

// finder walks through a type.
type finder struct {
	kinds, seen FieldKind
	found       Fields
}

func (f *finder) members(s *btf.Struct, base uint32, level int) error {
	if level > 4 {
		return refuse(errno.E2BIG, "structs are nested too deeply")
	}
	for _, m := range s.Members {
		if m.Offset%8 != 0 {
			continue
		}
		if err := f.one(m.Type, m.Tags, base+m.Offset.Bytes(), 0, level); err != nil {
			return err
		}
	}
	return nil
}

// one looks at a member or variable, which may be an array. size is what a
// variable has in its section, 0 for a member.
func (f *finder) one(t btf.Type, tags []string, offset, size uint32, level int) error {
	n := uint32(1)
	for array, ok := t.(*btf.Array); ok; array, ok = t.(*btf.Array) {
		n, t = n*array.Nelems, array.Type
	}
	field, align, err := f.describe(t, tags)
	if err != nil || n == 0 {
		return err
	}
	s, isStruct := t.(*btf.Struct)
	if field.Kind == 0 && !isStruct {
		return nil
	}
	each := field.Size
	if field.Kind == 0 {
		each = s.Size
	}
	if size != 0 && size != each*n {
		return nil
	}
	if field.Kind == 0 {
		return f.nested(s, offset, n, level)
	}
	if offset%align != 0 {
		return nil
	}
	if n > 1 && field.Kind&(anyKptr|FieldUptr|FieldListHead|FieldRBRoot) == 0 {
		return refuse(errno.EINVAL, "an array of special fields at byte %d", offset)
	}
	for i := range min(n, fieldsMax+1) {
		field.Offset = offset + i*each
		f.found = append(f.found, field)
	}
	return f.room()
}

// nested looks into a struct, or an array of them.
func (f *finder) nested(s *btf.Struct, offset, n uint32, level int) error {
	before := len(f.found)
	if err := f.members(s, offset, level+1); err != nil || len(f.found) == before {
		return err
	}
	first := slices.Clone(f.found[before:])
	for i := uint32(1); i < n; i++ {
		for _, field := range first {
			if field.Kind&(anyKptr|FieldUptr|FieldListHead|FieldRBRoot) == 0 {
				return refuse(errno.EINVAL, "an array of structs with special fields at byte %d", offset)
			}
			field.Offset += i * s.Size
			f.found = append(f.found, field)
		}
		if err := f.room(); err != nil {
			return err
		}
	}
	return nil
}

func (f *finder) room() error {
	if len(f.found) > fieldsMax {
		return refuse(errno.E2BIG, "more than %d special fields", fieldsMax)
	}
	return nil
}

// describe says what a type is; Kind 0 where it is nothing special.
func (f *finder) describe(t btf.Type, tags []string) (Field, uint32, error) {
	switch t := t.(type) {
	case *btf.Struct:
		known := structFields[t.Name]
		field := Field{Kind: known.kind & f.kinds, Size: known.size}
		if field.Kind == 0 {
			return Field{}, 0, nil
		}
		if known.once && f.seen&known.kind != 0 {
			return Field{}, 0, refuse(errno.E2BIG, "more than one %s", t.Name)
		}
		f.seen |= known.kind
		if known.kind&(FieldListHead|FieldRBRoot) != 0 {
			if field.Contains, field.Node = contains(tags); field.Contains == "" {
				return Field{}, 0, refuse(errno.EINVAL, "a %s does not say what it holds (__contains)", t.Name)
			}
		}
		return field, known.align, nil
	case *btf.Pointer:
		tag, ok := t.Target.(*btf.TypeTag)
		if !ok {
			return Field{}, 0, nil
		}
		if _, more := tag.Type.(*btf.TypeTag); more {
			return Field{}, 0, refuse(errno.EINVAL, "a pointer has more than one type tag")
		}
		target, _ := btf.UnderlyingType(tag.Type).(*btf.Struct)
		kind := kptrTags[tag.Value] & f.kinds
		if kind != 0 && target == nil {
			return Field{}, 0, refuse(errno.EINVAL, "a %s does not point to a struct", tag.Value)
		}
		return Field{Kind: kind, Size: 8, Target: target}, 8, nil
	}
	return Field{}, 0, nil
}

// contains reads "contains:STRUCT:MEMBER".
func contains(tags []string) (name, node string) {
	for _, tag := range tags {
		if rest, ok := strings.CutPrefix(tag, "contains:"); ok {
			name, node, _ = strings.Cut(rest, ":")
			return name, node
		}
	}
	return "", ""
}

// check sorts the fields and holds them against each other.
func (f *finder) check() error {
	slices.SortFunc(f.found, func(a, b Field) int { return cmp.Compare(a.Offset, b.Offset) })
	end := uint32(0)
	for _, field := range f.found {
		if field.Offset < end {
			return refuse(errno.EEXIST, "two fields at byte %d", field.Offset)
		}
		end = field.Offset + field.Size
	}
	switch {
	case f.found.Has(FieldSpinLock) && f.found.Has(FieldResSpinLock):
		return refuse(errno.EINVAL, "a bpf_spin_lock and a bpf_res_spin_lock")
	case f.found.Has(FieldListHead|FieldRBRoot) && !f.found.Has(FieldSpinLock|FieldResSpinLock):
		return refuse(errno.EINVAL, "a list or a tree without a bpf_spin_lock")
	}
	return nil
}
