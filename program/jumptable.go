package program

import (
	"debug/elf"
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// clang puts the tables of a switch into a section: places in the section of the
// function that jumps, 8 bytes each. Linux wants a map of type
// BPF_MAP_TYPE_INSN_ARRAY for each table and program, with numbers of the program's
// instructions, as libbpf makes them. cilium/ebpf reads the section as constant data
// for now.
const (
	jumpTables      = ".jumptables"
	jumpTablesAlias = ".rodata.jmp"

	insnArray     = ebpf.MapType(34)
	insnValueSize = 16 // of struct bpf_insn_array_value, which begins with the number
)

// jumpTable is one table by what the object says of its symbol.
type jumpTable struct {
	name  string
	bytes []byte
}

// jumpTables gives the tables by their place in the section, and makes their
// symbols ones of variables, as cilium/ebpf wants them.
func (o *object) jumpTables() (map[uint32]jumpTable, error) {
	section := o.file.Section(jumpTables)
	if section == nil {
		return nil, nil
	}
	if section.Type != elf.SHT_PROGBITS {
		return nil, fmt.Errorf("section %s has no bytes", jumpTables)
	}
	symtab := o.file.SectionByType(elf.SHT_SYMTAB)
	tables := make(map[uint32]jumpTable)
	for i, sym := range o.symbols {
		if int(sym.Section) >= len(o.file.Sections) || o.file.Sections[sym.Section] != section || elf.ST_TYPE(sym.Info) == elf.STT_SECTION {
			continue
		}
		if sym.Value%8 != 0 || sym.Size%8 != 0 || sym.Size == 0 {
			return nil, fmt.Errorf("jump table %s has %d bytes at %d, and must have 8 for each of its places", sym.Name, sym.Size, sym.Value)
		}
		at := section.Offset + sym.Value // checkSymbols has seen that it is in the file
		tables[uint32(sym.Value)] = jumpTable{sym.Name, o.data[at : at+sym.Size]}
		// The symbol table's first entry is none of o.symbols; st_info is at 4.
		info := symtab.Offset + uint64(i+1)*uint64(binary.Size(elf.Sym64{})) + 4
		o.data[info] = byte(elf.ST_INFO(elf.STB_LOCAL, elf.STT_OBJECT))
	}
	return tables, nil
}

// placeJumpTables gives each program maps of its own for the tables that it refers
// to.
func (o *object) placeJumpTables(spec *ebpf.CollectionSpec, tables map[uint32]jumpTable) error {
	if len(tables) == 0 {
		return nil
	}
	delete(spec.Maps, jumpTablesAlias)
	for name, v := range spec.Variables {
		if v.SectionName == jumpTablesAlias {
			delete(spec.Variables, name)
		}
	}
	functions := o.functions()
	for name, prog := range spec.Programs {
		if err := placeTablesOf(spec, name, prog, functions, tables); err != nil {
			return fmt.Errorf("program %s: %w", name, err)
		}
	}
	return nil
}

func placeTablesOf(spec *ebpf.CollectionSpec, name string, prog *ebpf.ProgramSpec, functions map[string]place, tables map[uint32]jumpTable) error {
	begins := uint64(0)  // the function's first instruction in the program
	section := uint64(0) // and its place in its section, in bytes
	for iter := prog.Instructions.Iterate(); iter.Next(); {
		ins := iter.Ins
		if f, ok := functions[ins.Symbol()]; ok {
			begins, section = uint64(iter.Offset), f.offset
		}
		if !ins.IsLoadFromMap() || ins.Reference() != jumpTablesAlias {
			continue
		}
		at := uint32(uint64(ins.Constant) >> 32)
		table, ok := tables[at]
		if !ok {
			return fmt.Errorf("instruction %d refers to byte %d of section %s, where no table begins", iter.Offset, at, jumpTables)
		}
		ref := fmt.Sprintf("%s.%s.%s", jumpTables, name, table.name)
		if spec.Maps[ref] == nil {
			spec.Maps[ref] = table.spec(section, begins)
		}
		*ins = ins.WithReference(ref)
		ins.Constant = 0
	}
	return nil
}

// spec is the map of a table that a function refers to, whose place in its section
// and whose first instruction are given.
func (t jumpTable) spec(section, begins uint64) *ebpf.MapSpec {
	m := &ebpf.MapSpec{
		Name: jumpTables, Type: insnArray, KeySize: 4, ValueSize: insnValueSize,
		MaxEntries: uint32(len(t.bytes) / 8),
	}
	for i := range m.MaxEntries {
		value := make([]byte, insnValueSize)
		to := (binary.LittleEndian.Uint64(t.bytes[8*i:])-section)/asm.InstructionSize + begins
		binary.LittleEndian.PutUint32(value, uint32(to))
		m.Contents = append(m.Contents, ebpf.MapKV{Key: i, Value: value})
	}
	return m
}
