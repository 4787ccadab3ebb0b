package vm

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	vmmaps "github.com/skep-ebpf/skep/vm/maps"
)

// likeLinux gives a struct_ops map Linux's type of value, which begins with a count
// and a state, where there are types of a kernel that has it. Without, the value is
// the structure as the object declares it.
func (l *loader) likeLinux(spec *ebpf.MapSpec) {
	declared, ok := btf.As[*btf.Struct](spec.Value)
	if !ok {
		return
	}
	types, err := l.opts.Programs.Link.Types(l.spec)
	if err != nil {
		return // there are none
	}
	var value *btf.Struct
	if types.TypeByName(vmmaps.StructOpsPrefix+essential(declared.Name), &value) == nil {
		spec.Value, spec.ValueSize, spec.Contents = value, value.Size, nil
	}
}

// essential is a type's name without the flavour behind three underscores.
func essential(name string) string {
	name, _, _ = strings.Cut(name, "___")
	return name
}

// holdsOps reports whether the map's value is one of Linux's with a structure of
// programs in it.
func (m *Map) holdsOps() bool {
	v, ok := m.info.Value.(*btf.Struct)
	return ok && m.info.Type == ebpf.StructOpsMap && strings.HasPrefix(v.Name, vmmaps.StructOpsPrefix)
}

// fillOps puts the structure that the object declares into Linux's value, and the
// numbers of the programs that implement its functions.
func (l *loader) fillOps(name string) error {
	m, spec := l.coll.Maps[name], l.spec.Maps[name]
	if l.opts.MapReplacements[name] != nil || len(spec.Contents) == 0 {
		return nil
	}
	declared, ok := btf.As[*btf.Struct](spec.Value)
	data, isBytes := spec.Contents[0].Value.([]byte)
	if !ok || !isBytes || len(data) < int(declared.Size) {
		return fmt.Errorf("its initial value is not the bytes of a structure of known type")
	}
	linux := m.info.Value.(*btf.Struct)
	value := make([]byte, linux.Size)
	var progs references
	for _, member := range linux.Members {
		ops, ok := btf.As[*btf.Struct](member.Type)
		if !ok || ops.Name != essential(declared.Name) {
			continue
		}
		if err := l.copyOps(value[member.Offset.Bytes():], ops, data, declared, &progs); err != nil {
			progs.unref()
			return err
		}
	}
	return wrap("update", m.obj.hold(make([]byte, 4), value, progs, 0))
}

// references are what one element holds.
type references []reference

func (r references) unref() {
	for _, one := range r {
		one.unref()
	}
}

// copyOps copies the members of a declared structure to where Linux's has them by
// name, with the numbers of programs for functions. What Linux's lacks must be 0.
func (l *loader) copyOps(to []byte, ops *btf.Struct, from []byte, declared *btf.Struct, progs *references) error {
	for _, m := range declared.Members {
		size, err := btf.Sizeof(m.Type)
		if err != nil {
			return fmt.Errorf("member %s: %w", m.Name, err)
		}
		at := int(m.Offset.Bytes())
		src := from[at : at+size]
		i := slices.IndexFunc(ops.Members, func(o btf.Member) bool { return o.Name == m.Name })
		if i < 0 {
			if bytes.Count(src, []byte{0}) != size {
				return fmt.Errorf("member %s is set, and struct %s of the kernel does not have it", m.Name, ops.Name)
			}
			continue
		}
		theirs, err := btf.Sizeof(ops.Members[i].Type)
		if err != nil || theirs != size {
			return fmt.Errorf("member %s has %d bytes, and %d in struct %s of the kernel", m.Name, size, theirs, ops.Name)
		}
		dst := to[ops.Members[i].Offset.Bytes():][:size]
		copy(dst, src)
		if p := l.programFor(ops.Name + ":" + m.Name); p != nil {
			binary.NativeEndian.PutUint64(dst, uint64(p.FD()))
			*progs = append(*progs, p.obj.ref())
		}
	}
	return nil
}

// programFor is the program that implements a member, "struct:member".
func (l *loader) programFor(member string) *Program {
	for name, p := range l.coll.Programs {
		if spec := l.spec.Programs[name]; spec.Type == ebpf.StructOps && spec.AttachTo == member {
			return p
		}
	}
	return nil
}
