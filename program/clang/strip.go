package clang

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// strip removes DWARF from an object that clang made: it is read by debuggers, the
// types in BTF by Linux, and clang writes the second only together with the first.
//
// Sections and symbols that stay keep their order and get new numbers.
func strip(object []byte) ([]byte, error) {
	s, err := newStripper(object)
	if err != nil {
		return nil, err
	}
	for i, from := range s.sections {
		if s.number[i] < 0 {
			continue
		}
		content := slices.Clone(s.content(from))
		switch from.Type {
		case uint32(elf.SHT_SYMTAB):
			content = s.symbolTable(content)
		case uint32(elf.SHT_REL):
			err = s.relocations(content)
		case uint32(elf.SHT_GROUP):
			err = errors.New("section groups are not expected in C")
		}
		if err != nil {
			return nil, err
		}
		s.add(from, content)
	}
	return s.finish()
}

const (
	headerSize = 64 // of the file
	symbolSize = 24
	relSize    = 16
)

type stripper struct {
	object   []byte
	header   elf.Header64
	sections []elf.Section64
	number   []int // of each section in what comes out, -1: removed
	symbol   []int // the same of symbols
	locals   uint32
	body     bytes.Buffer // behind the file's header
	kept     []elf.Section64
}

func newStripper(object []byte) (*stripper, error) {
	f, err := elf.NewFile(bytes.NewReader(object))
	if err != nil {
		return nil, err
	}
	s := &stripper{object: object, sections: make([]elf.Section64, len(f.Sections))}
	if err := binary.Read(bytes.NewReader(object), binary.LittleEndian, &s.header); err != nil {
		return nil, err
	}
	table := io.NewSectionReader(bytes.NewReader(object), int64(s.header.Shoff), int64(len(object)))
	if err := binary.Read(table, binary.LittleEndian, s.sections); err != nil {
		return nil, err
	}
	n := 0
	for _, section := range f.Sections {
		name := strings.TrimPrefix(section.Name, ".rel")
		// .llvm_addrsig numbers symbols, and is for linkers.
		if strings.HasPrefix(name, ".debug_") || name == ".llvm_addrsig" {
			s.number = append(s.number, -1)
			continue
		}
		s.number = append(s.number, n)
		n++
	}
	for i, section := range s.sections {
		if section.Type == uint32(elf.SHT_SYMTAB) && s.number[i] >= 0 {
			s.numberSymbols(s.content(section))
		}
	}
	return s, nil
}

func (s *stripper) content(section elf.Section64) []byte {
	if section.Type == uint32(elf.SHT_NOBITS) || section.Type == uint32(elf.SHT_NULL) {
		return nil
	}
	return s.object[section.Off : section.Off+section.Size]
}

// numberSymbols finds which symbols stay: those of removed sections go.
func (s *stripper) numberSymbols(table []byte) {
	n := 0
	for ; len(table) >= symbolSize; table = table[symbolSize:] {
		section := binary.LittleEndian.Uint16(table[6:])
		if int(section) < len(s.number) && s.number[section] < 0 {
			s.symbol = append(s.symbol, -1)
			continue
		}
		if elf.ST_BIND(table[4]) == elf.STB_LOCAL {
			s.locals++
		}
		s.symbol = append(s.symbol, n)
		n++
	}
}

// symbolTable is the symbols that stay, with their sections' new numbers.
func (s *stripper) symbolTable(table []byte) []byte {
	var out []byte
	for i := range s.symbol {
		if s.symbol[i] < 0 {
			continue
		}
		symbol := table[i*symbolSize:][:symbolSize]
		if section := binary.LittleEndian.Uint16(symbol[6:]); int(section) < len(s.number) {
			binary.LittleEndian.PutUint16(symbol[6:], uint16(s.number[section]))
		}
		out = append(out, symbol...)
	}
	return out
}

// relocations gives the symbols that a table refers to their new numbers.
func (s *stripper) relocations(table []byte) error {
	for ; len(table) >= relSize; table = table[relSize:] {
		info := binary.LittleEndian.Uint64(table[8:])
		symbol := elf.R_SYM64(info)
		if int(symbol) >= len(s.symbol) || s.symbol[symbol] < 0 {
			return fmt.Errorf("symbol %d is referred to, and not there", symbol)
		}
		binary.LittleEndian.PutUint64(table[8:], elf.R_INFO(uint32(s.symbol[symbol]), elf.R_TYPE64(info)))
	}
	return nil
}

// add puts a section behind those that are there.
func (s *stripper) add(section elf.Section64, content []byte) {
	for align := int(max(section.Addralign, 1)); s.body.Len()%align != 0; {
		s.body.WriteByte(0)
	}
	if section.Type != uint32(elf.SHT_NULL) {
		section.Off = headerSize + uint64(s.body.Len())
	}
	section.Link = s.renumber(section.Link)
	switch section.Type {
	case uint32(elf.SHT_SYMTAB):
		section.Info, section.Size = s.locals, uint64(len(content))
	case uint32(elf.SHT_REL):
		section.Info = s.renumber(section.Info)
	}
	s.body.Write(content)
	s.kept = append(s.kept, section)
}

// renumber gives a section's new number.
func (s *stripper) renumber(section uint32) uint32 {
	if int(section) >= len(s.number) {
		return section
	}
	return uint32(max(s.number[section], 0))
}

func (s *stripper) finish() ([]byte, error) {
	for s.body.Len()%8 != 0 {
		s.body.WriteByte(0)
	}
	s.header.Shoff = headerSize + uint64(s.body.Len())
	s.header.Shnum = uint16(len(s.kept))
	s.header.Shstrndx = uint16(s.renumber(uint32(s.header.Shstrndx)))
	var out bytes.Buffer
	for _, part := range []any{s.header, s.body.Bytes(), s.kept} {
		if err := binary.Write(&out, binary.LittleEndian, part); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}
