package program

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// Programs put what one lock guards into a section of its own, such as .bss.A,
// and libbpf makes a map of it. cilium/ebpf knows .bss alone, but everything that
// begins with .data, so such a section goes by another name of the same length
// while cilium/ebpf reads it.
// So do the sections of variables that lie in an arena and of jump tables.
const (
	bssPrefix = ".bss."
	bssAlias  = ".data"

	arenaSection = ".addr_space.1"
	arenaAlias   = ".data_space.1"
	pageSize     = 4096 // of arenas
)

func isNamedBSS(s *elf.Section) bool {
	return s.Type == elf.SHT_NOBITS && strings.HasPrefix(s.Name, bssPrefix)
}

// sectionAlias is the name by which cilium/ebpf reads a section, as long as its
// own; "" where it is read as it is.
func sectionAlias(s *elf.Section) string {
	switch {
	case isNamedBSS(s):
		return bssAlias + s.Name[len(bssPrefix):]
	case s.Name == arenaSection:
		return arenaAlias
	case s.Name == jumpTables:
		return jumpTablesAlias
	}
	return ""
}

// aliasSections renames the sections that cilium/ebpf does not know, and gives the
// old names by the new ones.
func (o *object) aliasSections() (map[string]string, error) {
	names := make(map[string]string)
	var header elf.Header64
	if err := binary.Read(bytes.NewReader(o.data), binary.LittleEndian, &header); err != nil {
		return nil, fmt.Errorf("read ELF header: %w", err)
	}
	if int(header.Shstrndx) >= len(o.file.Sections) {
		return nil, fmt.Errorf("object is damaged: section %d has the names of its %d sections", header.Shstrndx, len(o.file.Sections))
	}
	table := o.file.Sections[header.Shstrndx]
	for i, s := range o.file.Sections {
		alias := sectionAlias(s)
		if alias == "" {
			continue
		}
		if o.file.Section(alias) != nil {
			return nil, fmt.Errorf("sections %s and %s cannot be told apart: rename one", s.Name, alias)
		}
		offset := header.Shoff + uint64(i)*uint64(header.Shentsize) // of the section's header, which begins with its name
		if offset > uint64(len(o.data))-4 {
			return nil, fmt.Errorf("object is truncated: the header of section %s ends behind the file's %d bytes", s.Name, len(o.data))
		}
		name := table.Offset + uint64(binary.LittleEndian.Uint32(o.data[offset:]))
		if name > uint64(len(o.data)) || !bytes.HasPrefix(o.data[name:], []byte(s.Name)) {
			return nil, fmt.Errorf("object is damaged: the name of section %s is not where its header says", s.Name)
		}
		copy(o.data[name:], alias)
		if types := o.file.Section(".BTF"); types != nil {
			b := o.data[types.Offset : types.Offset+types.FileSize]
			if at := bytes.Index(b, []byte("\x00"+s.Name+"\x00")); at >= 0 {
				copy(b[at+1:], alias)
			}
		}
		names[alias] = s.Name
	}
	return names, nil
}

// restoreSections gives the maps that cilium/ebpf made of such sections their
// names, and puts an arena's variables into the arena.
func restoreSections(spec *ebpf.CollectionSpec, names map[string]string) error {
	if len(names) == 0 {
		return nil
	}
	if _, ok := names[arenaAlias]; ok {
		if err := placeInArena(spec); err != nil {
			return err
		}
		delete(names, arenaAlias)
	}
	for alias, name := range names {
		m := spec.Maps[alias]
		if m == nil {
			continue
		}
		delete(spec.Maps, alias)
		spec.Maps[name] = m
		m.Name = strings.Replace(m.Name, bssAlias, bssPrefix, 1)
		if ds, ok := m.Value.(*btf.Datasec); ok {
			ds.Name = name
		}
	}
	for _, v := range spec.Variables {
		if name, ok := names[v.SectionName]; ok {
			v.SectionName = name
		}
	}
	for _, prog := range spec.Programs {
		for i := range prog.Instructions {
			ins := &prog.Instructions[i]
			if name, ok := names[ins.Reference()]; ok && ins.IsLoadFromMap() {
				*ins = ins.WithReference(name)
			}
		}
	}
	return nil
}

// placeInArena puts variables at the end of the object's arena, as libbpf does.
// They are the program's alone: user space reaches them by the arena's memory.
func placeInArena(spec *ebpf.CollectionSpec) error {
	data := spec.Maps[arenaAlias]
	if data == nil {
		return nil // nothing refers to it
	}
	delete(spec.Maps, arenaAlias)
	maps.DeleteFunc(spec.Variables, func(_ string, v *ebpf.VariableSpec) bool { return v.SectionName == arenaAlias })
	name, arena := "", (*ebpf.MapSpec)(nil)
	for n, m := range spec.Maps {
		if m.Type == ebpf.Arena {
			name, arena = n, m
		}
	}
	size := (uint64(data.ValueSize) + pageSize - 1) &^ (pageSize - 1)
	if arena == nil {
		return errors.New("variables lie in an arena, and the object has no map of type BPF_MAP_TYPE_ARENA")
	}
	room := uint64(arena.MaxEntries) * pageSize
	if size > room {
		return fmt.Errorf("variables of %d bytes lie in arena %s, which has %d", data.ValueSize, name, room)
	}
	at := room - size
	arena.Contents = append(arena.Contents, ebpf.MapKV{Key: at, Value: data.Contents[0].Value})
	for _, prog := range spec.Programs {
		for i := range prog.Instructions {
			if ins := &prog.Instructions[i]; ins.IsLoadFromMap() && ins.Reference() == arenaAlias {
				*ins = ins.WithReference(name)
				ins.Constant += int64(at << 32)
			}
		}
	}
	return nil
}
