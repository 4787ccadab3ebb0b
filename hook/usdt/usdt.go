// Package usdt finds the static probes that ELF files have compiled in (USDT, as of
// sys/sdt.h), and says where the arguments of each one are.
//
// A probe is a nop in the program's code and a note in section .note.stapsdt: the
// address of the nop, two names, the places of the arguments, and the address of a
// counter, the semaphore, which says to the program whether anyone is attached.
package usdt

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Probe is one place at which a probe was compiled in. A probe in a function that is
// inlined, or that is named twice, has several.
type Probe struct {
	Provider, Name string
	// Args says where the arguments are, in the assembler's words: "-4@%eax 8@-16(%rbp)".
	Args string
	// Offset is where in the file the nop is, and Address where the file says that it
	// is loaded.
	Offset, Address uint64
	// Fixed says that it is loaded there, and nowhere else.
	Fixed bool
	// Semaphore is where in the file the counter is; 0: there is none.
	Semaphore uint64

	machine elf.Machine
	symbols map[string]uint64 // addresses of variables, where arguments name any
}

// String is PROVIDER:NAME.
func (p *Probe) String() string { return p.Provider + ":" + p.Name }

const (
	noteSection = ".note.stapsdt"
	baseSection = ".stapsdt.base"
	noteOwner   = "stapsdt"
	noteType    = 3 // NT_STAPSDT
)

// Read gives the probes of an ELF file in the order of their notes; none where it has
// none.
func Read(r io.ReaderAt) ([]Probe, error) {
	f, err := elf.NewFile(r)
	if err != nil {
		return nil, err
	}
	section := f.Section(noteSection)
	if section == nil {
		return nil, nil
	}
	if f.Class != elf.ELFCLASS64 || f.ByteOrder != binary.LittleEndian {
		return nil, fmt.Errorf("its probes are for a %s machine: want a 64-bit little-endian one", f.Machine)
	}
	data, err := section.Data()
	if err != nil {
		return nil, err
	}
	notes, err := parseNotes(data)
	if err != nil {
		return nil, err
	}
	var base uint64
	if s := f.Section(baseSection); s != nil {
		base = s.Addr
	}
	probes := make([]Probe, len(notes))
	var symbols map[string]uint64
	for i, n := range notes {
		if probes[i], err = n.probe(f, base); err != nil {
			return nil, err
		}
		if strings.Contains(n.args, "(%rip)") && symbols == nil {
			if symbols, err = variables(f); err != nil {
				return nil, err
			}
		}
		probes[i].symbols = symbols
	}
	return probes, nil
}

// variables are the addresses of a file's variables.
func variables(f *elf.File) (map[string]uint64, error) {
	found := make(map[string]uint64)
	for _, table := range []func() ([]elf.Symbol, error){f.Symbols, f.DynamicSymbols} {
		all, err := table()
		if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
			return nil, err
		}
		for _, s := range all {
			if elf.ST_TYPE(s.Info) == elf.STT_OBJECT && s.Section != elf.SHN_UNDEF {
				found[s.Name] = s.Value
			}
		}
	}
	return found, nil
}

// note is what a note says. Addresses are those of the link.
type note struct {
	location, base, semaphore uint64
	provider, name, args      string
}

var errNote = errors.New("section " + noteSection + " ends within a note")

// parseNotes reads the notes of probes, and goes past those of others.
func parseNotes(data []byte) (notes []note, err error) {
	for len(data) > 0 {
		if len(data) < 12 {
			return nil, errNote
		}
		header := [3]uint32{}
		for i := range header {
			header[i] = binary.LittleEndian.Uint32(data[4*i:])
		}
		owner, rest, ok := cutPadded(data[12:], header[0])
		if !ok {
			return nil, errNote
		}
		desc, rest, ok := cutPadded(rest, header[1])
		if !ok {
			return nil, errNote
		}
		data = rest
		if header[2] != noteType || string(bytes.TrimRight(owner, "\x00")) != noteOwner {
			continue
		}
		n, err := parseNote(desc)
		if err != nil {
			return nil, err
		}
		notes = append(notes, n)
	}
	return notes, nil
}

// cutPadded cuts n bytes off, and what fills them up to four.
func cutPadded(data []byte, n uint32) (head, tail []byte, ok bool) {
	if uint64(n) > uint64(len(data)) {
		return nil, nil, false
	}
	padded := min((uint64(n)+3)&^3, uint64(len(data))) // the last one may lack it
	return data[:n], data[padded:], true
}

func parseNote(desc []byte) (n note, err error) {
	if len(desc) < 24 {
		return n, errNote
	}
	for i, field := range []*uint64{&n.location, &n.base, &n.semaphore} {
		*field = binary.LittleEndian.Uint64(desc[8*i:])
	}
	rest := desc[24:]
	for _, field := range []*string{&n.provider, &n.name, &n.args} {
		text, tail, ok := bytes.Cut(rest, []byte{0})
		if !ok {
			return n, errNote
		}
		*field, rest = string(text), tail
	}
	if n.args == ":" { // another way to say that there are none
		n.args = ""
	}
	return n, nil
}

// probe says where in the file a note's probe is. Prelink moves files and leaves notes
// alone: then section .stapsdt.base has moved from where the note saw it.
func (n *note) probe(f *elf.File, base uint64) (Probe, error) {
	moved := uint64(0)
	if base != 0 && n.base != 0 {
		moved = base - n.base
	}
	p := Probe{Provider: n.provider, Name: n.name, Args: n.args, Address: n.location + moved, Fixed: f.Type == elf.ET_EXEC, machine: f.Machine}
	var ok bool
	if p.Offset, ok = fileOffset(f, p.Address, elf.PF_X); !ok {
		return p, fmt.Errorf("probe %s is at %#x, where the file has no code", &p, p.Address)
	}
	if n.semaphore != 0 {
		if p.Semaphore, ok = fileOffset(f, n.semaphore+moved, elf.PF_W); !ok {
			return p, fmt.Errorf("the semaphore of probe %s is at %#x, where the file has no variables", &p, n.semaphore+moved)
		}
	}
	return p, nil
}

// fileOffset finds what is loaded to an address in a segment with a permission.
func fileOffset(f *elf.File, address uint64, flag elf.ProgFlag) (uint64, bool) {
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && p.Flags&flag != 0 && address-p.Vaddr < p.Memsz {
			return address - p.Vaddr + p.Off, true
		}
	}
	return 0, false
}
