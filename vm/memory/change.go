package memory

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/ctype"
	"github.com/skep-ebpf/skep/internal/mem"
)

// Snapshot is what was in the objects of a memory.
type Snapshot struct {
	memory *Memory
	was    [][]byte // of each object
}

// Snapshot copies what is in all objects.
func (m *Memory) Snapshot() *Snapshot {
	s := &Snapshot{memory: m}
	for i := range m.objects {
		s.was = append(s.was, bytes.Clone(m.object(i)))
	}
	return s
}

func (m *Memory) object(i int) []byte { return mem.View(m.objects[i].Addr, int(m.objects[i].Size)) }

// Changes are the fields of objects that have changed since, in the order of their
// offsets: "tcp_sock.snd_cwnd: 20 → 21".
func (s *Snapshot) Changes() (all []string) {
	for i, was := range s.was {
		is := s.memory.object(i)
		if bytes.Equal(was, is) {
			continue
		}
		name := s.memory.objects[i].Type
		t, err := s.memory.typeByName(name)
		if err != nil {
			continue // an object whose type has no name
		}
		all = appendChanges(all, t, bare(name), was, is)
	}
	return all
}

// appendChanges appends what is different in two values of a type.
func appendChanges(all []string, typ btf.Type, name string, was, is []byte) []string {
	size, err := btf.Sizeof(typ)
	if err != nil || size == 0 || size > len(was) || bytes.Equal(was[:size], is[:size]) {
		return all
	}
	switch t := btf.UnderlyingType(typ).(type) {
	case *btf.Struct, *btf.Union:
		for _, m := range ctype.Members(t) {
			all = appendMember(all, m, name, was, is)
		}
		return all
	case *btf.Array:
		each := size / int(t.Nelems)
		for i := range int(t.Nelems) {
			all = appendChanges(all, t.Type, name+"["+strconv.Itoa(i)+"]", was[i*each:], is[i*each:])
		}
		return all
	}
	return append(all, fmt.Sprintf("%s: %s → %s", name, leaf(typ, was[:size]), leaf(typ, is[:size])))
}

func appendMember(all []string, m btf.Member, name string, was, is []byte) []string {
	if m.Name != "" {
		name += "." + m.Name
	}
	if m.BitfieldSize == 0 {
		return appendChanges(all, m.Type, name, was[m.Offset.Bytes():], is[m.Offset.Bytes():])
	}
	f := bitField(m.Offset, m.BitfieldSize)
	if a, b := f.Get(was), f.Get(is); a != b {
		all = append(all, fmt.Sprintf("%s: %d → %d", name, a, b))
	}
	return all
}

// leaf is a number as its type shows it.
func leaf(typ btf.Type, b []byte) string {
	v := Field{Size: uint32(len(b))}.Get(b)
	switch t := btf.UnderlyingType(typ).(type) {
	case *btf.Pointer:
		return fmt.Sprintf("0x%x", v)
	case *btf.Enum:
		for _, e := range t.Values {
			if e.Value == v {
				return e.Name
			}
		}
	case *btf.Int:
		if t.Encoding == btf.Signed {
			shift := 64 - 8*min(len(b), 8)
			return strconv.FormatInt(int64(v<<shift)>>shift, 10)
		}
	}
	return strconv.FormatUint(v, 10)
}
