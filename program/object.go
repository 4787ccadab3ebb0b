package program

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// maxData is the size in bytes beyond which a section of global data is
// refused: cilium/ebpf allocates .bss when it reads the object.
const maxData = 64 << 20

// object is the ELF file as skep reads it itself, for checks that end in a clear
// sentence and for what cilium/ebpf does not tell.
type object struct {
	data    []byte
	file    *elf.File
	symbols []elf.Symbol // in the order of the symbol table, without its first
}

func parse(data []byte) (*object, error) {
	if err := checkIdent(data); err != nil {
		return nil, err
	}
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("object is damaged or truncated (%d bytes): %w", len(data), err)
	}
	switch {
	case f.Machine != elf.EM_BPF && f.Machine != elf.EM_NONE:
		return nil, fmt.Errorf("object is for machine %s, not for BPF: compile with clang -target bpf", strings.TrimPrefix(f.Machine.String(), "EM_"))
	case f.Type != elf.ET_REL:
		return nil, fmt.Errorf("ELF file is of type %s, not a relocatable object: compile with clang -target bpf -c", f.Type)
	}
	obj := &object{data: data, file: f}
	if err := obj.checkSections(); err != nil {
		return nil, err
	}
	obj.symbols, err = f.Symbols()
	if errors.Is(err, elf.ErrNoSymbols) {
		return nil, errors.New("object has no symbol table: it holds no program, or was stripped too far (use llvm-strip -g)")
	}
	if err != nil {
		return nil, fmt.Errorf("read symbol table: %w", err)
	}
	if err := obj.checkSymbols(); err != nil {
		return nil, err
	}
	return obj, obj.checkMaps()
}

// checkIdent tells apart the files that people pass by mistake.
func checkIdent(data []byte) error {
	switch {
	case len(data) == 0:
		return errors.New("file is empty")
	case !bytes.HasPrefix(data, []byte(elf.ELFMAG)):
		return errors.New("file is not an ELF object: compile the source with clang -target bpf -g -O2 -c")
	case len(data) < binary.Size(elf.Header64{}):
		return fmt.Errorf("object is truncated: %d bytes do not hold an ELF header", len(data))
	case elf.Class(data[elf.EI_CLASS]) != elf.ELFCLASS64:
		return errors.New("object is a 32-bit ELF file: BPF objects are 64-bit")
	case elf.Data(data[elf.EI_DATA]) == elf.ELFDATA2MSB:
		return errors.New("object is big-endian: skep runs little-endian programs, compile with clang -target bpfel")
	}
	return nil
}

func (o *object) checkSections() error {
	for _, s := range o.file.Sections {
		switch {
		case s.Type == elf.SHT_NULL:
			continue
		case s.Type == elf.SHT_NOBITS:
			if s.Size > maxData {
				return fmt.Errorf("section %s wants %d bytes of memory: at most %d MiB of global data are supported", s.Name, s.Size, maxData>>20)
			}
			continue
		case s.Offset > uint64(len(o.data)) || s.FileSize > uint64(len(o.data))-s.Offset:
			return fmt.Errorf("object is truncated: section %s ends behind the file's %d bytes", s.Name, len(o.data))
		case s.Flags&elf.SHF_COMPRESSED != 0 && !strings.HasPrefix(s.Name, ".debug"):
			return fmt.Errorf("section %s is compressed: decompress it with llvm-objcopy --decompress-debug-sections", s.Name)
		case s.Type == elf.SHT_REL && s.Entsize != relSize:
			return fmt.Errorf("section %s has relocations of %d bytes, not %d", s.Name, s.Entsize, relSize)
		case s.Type == elf.SHT_REL && s.Size%relSize != 0:
			return fmt.Errorf("section %s has %d bytes, which is not a whole number of relocations", s.Name, s.Size)
		case isCode(s) && s.Size%8 != 0:
			return fmt.Errorf("section %s has %d bytes, which is not a whole number of 8-byte instructions", s.Name, s.Size)
		}
		if s.Name == ".BTF" {
			if err := countTypes(o.data[s.Offset : s.Offset+s.FileSize]); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkSymbols bounds what the symbols of each section claim to cover together,
// because cilium/ebpf copies every symbol's bytes.
func (o *object) checkSymbols() error {
	covered := make([]uint64, len(o.file.Sections))
	for _, sym := range o.symbols {
		if sym.Section == elf.SHN_UNDEF || int(sym.Section) >= len(covered) || sym.Name == "" {
			continue
		}
		s := o.file.Sections[sym.Section]
		if sym.Value > s.Size || sym.Size > s.Size-sym.Value {
			return fmt.Errorf("symbol %s lies outside its section %s (%d bytes at %d of %d)", sym.Name, s.Name, sym.Size, sym.Value, s.Size)
		}
		if isCode(s) && (sym.Value%8 != 0 || sym.Size%8 != 0) && elf.ST_TYPE(sym.Info) == elf.STT_FUNC {
			return fmt.Errorf("function %s in section %s is not a whole number of 8-byte instructions", sym.Name, s.Name)
		}
		covered[sym.Section] += sym.Size
		if covered[sym.Section] > 2*maxData {
			return fmt.Errorf("symbols of section %s overlap many times over", s.Name)
		}
	}
	return nil
}

// checkMaps refuses map definitions that nothing says the size or types of.
func (o *object) checkMaps() error {
	if o.file.Section(mapsName) != nil && o.file.Section(".BTF") == nil {
		return errors.New("object declares maps in .maps and has no types: build it with clang -g, and strip it with llvm-strip -g only")
	}
	for _, sym := range o.symbols {
		if sym.Name == "" || int(sym.Section) >= len(o.file.Sections) {
			continue
		}
		typ, section := elf.ST_TYPE(sym.Info), o.file.Sections[sym.Section].Name
		legacy := strings.HasPrefix(section, "maps") && (typ == elf.STT_OBJECT || typ == elf.STT_NOTYPE)
		if legacy && sym.Size < legacyMapSize {
			return fmt.Errorf(`map %s in section %s is defined in the legacy way (struct bpf_map_def) without a usable size: define it in SEC(".maps") and build with clang -g`, sym.Name, section)
		}
	}
	return nil
}

// legacyMapSize is the size of struct bpf_map_def in bytes: type, key size, value
// size, entries, flags.
const legacyMapSize = 20

func isCode(s *elf.Section) bool {
	return s.Type == elf.SHT_PROGBITS && s.Flags&elf.SHF_EXECINSTR != 0
}

// place is a position in an object's code.
type place struct {
	section elf.SectionIndex
	offset  uint64 // bytes
}

// functions gives the place of each function by its name.
func (o *object) functions() map[string]place {
	funcs := make(map[string]place)
	for _, sym := range o.symbols {
		if int(sym.Section) >= len(o.file.Sections) || !isCode(o.file.Sections[sym.Section]) {
			continue
		}
		typ, bind := elf.ST_TYPE(sym.Info), elf.ST_BIND(sym.Info)
		// Before clang 8 functions had no type; local symbols without are labels.
		if typ == elf.STT_FUNC || typ == elf.STT_NOTYPE && bind != elf.STB_LOCAL {
			funcs[sym.Name] = place{sym.Section, sym.Value}
		}
	}
	return funcs
}

// checkReference refuses what code refers to and cilium/ebpf does not load.
func (o *object) checkReference(from *elf.Section, sym elf.Symbol) error {
	if int(sym.Section) >= len(o.file.Sections) {
		return fmt.Errorf("section %s refers to symbol %s, which is in no section", from.Name, sym.Name)
	}
	to := o.file.Sections[sym.Section]
	known := isCode(to) || to.Name == ".bss" || sectionAlias(to) != "" || to.Name == mapsName
	for _, prefix := range []string{".data", ".rodata", "maps"} {
		known = known || strings.HasPrefix(to.Name, prefix)
	}
	if known {
		return nil
	}
	return fmt.Errorf("section %s refers to %s in section %s, which is not supported: put variables in .data, .bss or .rodata", from.Name, sym.Name, to.Name)
}

const relSize = 16 // of an elf.Rel64

// undefined gives the undefined symbols that code refers to, by the place of the
// reference.
func (o *object) undefined() (map[place]elf.Symbol, error) {
	refs := make(map[place]elf.Symbol)
	for _, s := range o.file.Sections {
		if s.Type != elf.SHT_REL || uint64(s.Info) >= uint64(len(o.file.Sections)) || !isCode(o.file.Sections[s.Info]) {
			continue
		}
		raw := o.data[s.Offset : s.Offset+s.FileSize]
		for ; len(raw) >= relSize; raw = raw[relSize:] {
			off := binary.LittleEndian.Uint64(raw)
			n := uint64(elf.R_SYM64(binary.LittleEndian.Uint64(raw[8:])))
			if n == 0 || n > uint64(len(o.symbols)) {
				return nil, fmt.Errorf("section %s refers to symbol %d of %d", s.Name, n, len(o.symbols))
			}
			sym := o.symbols[n-1]
			if sym.Section == elf.SHN_UNDEF {
				refs[place{elf.SectionIndex(s.Info), off}] = sym
			} else if err := o.checkReference(o.file.Sections[s.Info], sym); err != nil {
				return nil, err
			}
		}
	}
	return refs, nil
}

// hide makes functions static that are hidden from other objects (__hidden): they are
// verified where they are called then, as libbpf has it, and not for all arguments.
func (o *object) hide(spec *ebpf.CollectionSpec) {
	hidden := make(map[string]bool)
	for _, sym := range o.symbols {
		visibility := elf.ST_VISIBILITY(sym.Other)
		if elf.ST_TYPE(sym.Info) == elf.STT_FUNC && (visibility == elf.STV_HIDDEN || visibility == elf.STV_INTERNAL) {
			hidden[sym.Name] = true
		}
	}
	for _, prog := range spec.Programs {
		for i := range prog.Instructions {
			ins := &prog.Instructions[i]
			if fn := btf.FuncMetadata(ins); fn != nil && hidden[ins.Symbol()] {
				fn.Linkage = btf.StaticFunc
			}
		}
	}
}
