package program

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// Programs put what one lock guards into a section of its own, such as .bss.A,
// and libbpf makes a map of it. cilium/ebpf knows .bss alone, but everything that
// begins with .data, so such a section goes by another name of the same length
// while cilium/ebpf reads it.
const (
	bssPrefix = ".bss."
	bssAlias  = ".data"
)

func isNamedBSS(s *elf.Section) bool {
	return s.Type == elf.SHT_NOBITS && strings.HasPrefix(s.Name, bssPrefix)
}

// aliasBSS renames the .bss sections with a name of their own, and gives the old
// names by the new ones.
func (o *object) aliasBSS() (map[string]string, error) {
	names := make(map[string]string)
	var header elf.Header64
	if err := binary.Read(bytes.NewReader(o.data), binary.LittleEndian, &header); err != nil {
		return nil, fmt.Errorf("read ELF header: %w", err)
	}
	table := o.file.Sections[header.Shstrndx]
	for i, s := range o.file.Sections {
		if !isNamedBSS(s) {
			continue
		}
		alias := bssAlias + s.Name[len(bssPrefix):]
		if o.file.Section(alias) != nil {
			return nil, fmt.Errorf("sections %s and %s cannot be told apart: rename one", s.Name, alias)
		}
		offset := header.Shoff + uint64(i)*uint64(header.Shentsize) // of the section's header, which begins with its name
		name := table.Offset + uint64(binary.LittleEndian.Uint32(o.data[offset:]))
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

// restoreBSS gives the maps that cilium/ebpf made of such sections their names.
func restoreBSS(spec *ebpf.CollectionSpec, names map[string]string) {
	if len(names) == 0 {
		return
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
}
