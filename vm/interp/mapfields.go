package interp

import (
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/maps"
)

// Programs read the fields of a map through its pointer, as Linux lets them: of
// its struct bpf_map, and what some types have behind it. The pointer is a number
// in this machine, so that a load is answered.

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
func (p *Program) mapStruct(of maps.Map) (*btf.Struct, error) {
	if p.in.KernelTypes == nil {
		return nil, btf.ErrNotFound
	}
	types, err := p.in.KernelTypes()
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

// loadMap does a load through a map's pointer. reason says what is wrong.
func (p *Program) loadMap(of maps.Map, ins isa.Instruction) (v uint64, reason string) {
	if of == nil {
		return 0, "points to a map that is closed"
	}
	t, err := p.mapStruct(of)
	if err != nil {
		return 0, fmt.Sprintf("points to map %s itself, and no types say where its fields lie (struct bpf_map): %v", of.Info().Name, err)
	}
	at, n := int(ins.Off), isa.SizeOf(ins.Op)
	if at < 0 || at+n > int(t.Size) {
		return 0, fmt.Sprintf("points to map %s itself, struct %s of %d bytes: the access wants bytes %d..%d", of.Info().Name, t.Name, t.Size, at, at+n)
	}
	b := make([]byte, t.Size)
	mapBytes(b, t, of)
	var word [8]byte
	copy(word[:], b[at:at+n])
	return extend(ins, binary.LittleEndian.Uint64(word[:])), ""
}

// loadMapField is a load through a map's pointer in checked mode.
func (m *machine) loadMapField(o *op, from exec.Prov) {
	ins := m.insn(o)
	v, reason := m.prog.loadMap(maps.Get(maps.Handle(from.Elem())), ins)
	if reason != "" {
		m.fail(o, fmt.Sprintf("R%d %s", ins.Src, reason))
		return
	}
	m.reg[ins.Dst], m.prov[ins.Dst] = v, 0
	if ins.Op&0x18 == isa.SizeDW {
		m.prov[ins.Dst] = exec.Nowhere
	}
}
