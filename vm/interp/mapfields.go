package interp

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/helper"
	"github.com/skep-ebpf/skep/vm/maps"
)

// Programs read the fields of a map through its pointer, as Linux lets them: of
// its struct bpf_map, and what some types have behind it. The pointer is a number
// in this machine, so that the checked loop gives the fields.

// mapStructs are the structures that begin with a struct bpf_map.
var mapStructs = map[ebpf.MapType]string{
	ebpf.Array: "bpf_array", ebpf.PerCPUArray: "bpf_array", ebpf.ArrayOfMaps: "bpf_array",
	ebpf.Hash: "bpf_htab", ebpf.PerCPUHash: "bpf_htab", ebpf.LRUHash: "bpf_htab", ebpf.LRUCPUHash: "bpf_htab",
	ebpf.Arena: "bpf_arena",
}

// mapField gives the number that a field of those structures holds, and whether
// the machine knows it.
func mapField(m maps.Map, name string) (uint64, bool) {
	info := m.Info()
	switch name {
	case "map_type":
		return uint64(info.Type), true
	case "key_size":
		return uint64(info.KeySize), true
	case "value_size":
		return uint64(info.ValueSize), true
	case "max_entries":
		return uint64(info.MaxEntries), true
	case "map_extra":
		return info.Extra, true
	case "map_flags":
		return uint64(info.Flags), true
	case "id":
		return uint64(info.Handle), true
	case "elem_size":
		if mapStructs[info.Type] == "bpf_array" {
			return (uint64(info.ValueSize) + 7) &^ 7, true
		}
	case "user_vm_start", "user_vm_end":
		if a, ok := m.(Arena); ok && name == "user_vm_start" {
			return a.UserBase(), true
		} else if ok {
			return a.UserBase() + uint64(info.Values.Size), true
		}
	}
	return 0, false
}

// mapBytes writes a map's structure, where what the machine does not know is 0.
func mapBytes(b []byte, t *btf.Struct, m maps.Map) {
	for _, f := range t.Members {
		at := int(f.Offset.Bytes())
		if s, ok := btf.UnderlyingType(f.Type).(*btf.Struct); ok && f.Name == "map" {
			mapBytes(b[at:], s, m)
			continue
		}
		if f.Name == "name" {
			const longest = 15 // BPF_OBJ_NAME_LEN without its NUL
			name := m.Info().Name
			copy(b[at:], name[:min(len(name), longest)])
			continue
		}
		v, ok := mapField(m, f.Name)
		if !ok {
			continue
		}
		switch size, _ := btf.Sizeof(f.Type); size {
		case 4:
			binary.LittleEndian.PutUint32(b[at:], uint32(v))
		case 8:
			binary.LittleEndian.PutUint64(b[at:], v)
		}
	}
}

// mapStruct is the structure of a map as the kernel has it that the program is
// for.
func (m *machine) mapStruct(of maps.Map) (*btf.Struct, error) {
	if m.prog.in.KernelTypes == nil {
		return nil, btf.ErrNotFound
	}
	types, err := m.prog.in.KernelTypes()
	if err != nil {
		return nil, err
	}
	var t *btf.Struct
	if name, ok := mapStructs[of.Info().Type]; ok && types.TypeByName(name, &t) == nil {
		return t, nil
	}
	err = types.TypeByName("bpf_map", &t)
	return t, err
}

// loadMapField does a load through a map's pointer.
func (m *machine) loadMapField(o *op, from exec.Prov, a, n uintptr) {
	ins := m.insn(o)
	of := maps.Get(maps.Handle(from.Elem()))
	if of == nil {
		m.fail(o, fmt.Sprintf("R%d points to a map that is closed", ins.Src))
		return
	}
	t, err := m.mapStruct(of)
	if err != nil {
		m.fail(o, fmt.Sprintf("R%d points to map %s itself, and no types say where its fields lie (struct bpf_map): %v", ins.Src, of.Info().Name, err))
		return
	}
	at := a - uintptr(from.Elem())
	if size := uintptr(t.Size); at >= size || size-at < n {
		m.fail(o, fmt.Sprintf("R%d points to map %s itself, struct %s of %d bytes: the access wants bytes %d..%d",
			ins.Src, of.Info().Name, t.Name, size, int64(at), int64(at+n)))
		return
	}
	b := make([]byte, t.Size)
	mapBytes(b, t, of)
	var word [8]byte
	copy(word[:], b[at:at+n])
	v := binary.LittleEndian.Uint64(word[:])
	if ins.Op&0xe0 == isa.ModeMEMSX {
		shift := 64 - 8*n
		v = uint64(int64(v<<shift) >> shift)
	}
	m.reg[ins.Dst], m.prov[ins.Dst] = v, 0
	if n == 8 {
		m.prov[ins.Dst] = exec.Nowhere
	}
}

// givesMap reports whether a callback of the program's is given a map.
func (c *compiler) givesMap() bool {
	return slices.ContainsFunc(c.prog.helpers, func(h *helper.Helper) bool {
		if !slices.Contains(h.Args, helper.ArgPtrToFunc) {
			return false
		}
		switch h.Args[0] {
		case helper.ArgConstMapPtr, helper.ArgPtrToTimer, helper.ArgPtrToWorkqueue:
			return true
		}
		return false
	})
}

// looksUpMaps reports whether one of the program's maps holds maps.
func (c *compiler) looksUpMaps() bool {
	return slices.ContainsFunc(c.in.Maps, func(m maps.Map) bool {
		t := m.Info().Type
		return t == ebpf.ArrayOfMaps || t == ebpf.HashOfMaps
	})
}
