package kernel

import (
	"debug/elf"
	"debug/gosym"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/ianlancetaylor/demangle"

	"github.com/skep-ebpf/skep/internal/suggest"
)

// functionTable is the functions that a file defines.
type functionTable struct {
	path    string
	offsets map[string]uint64 // where in the file each begins, by the name of its symbol
}

// fileFunctions reads the functions that a file defines, by its symbols and, where it is a
// Go program, also without them.
func fileFunctions(path string) (*functionTable, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("functions of %s: %w", path, err)
	}
	defer f.Close()
	t := &functionTable{path, make(map[string]uint64)}
	add := func(name string, address uint64) {
		for _, p := range f.Progs {
			if p.Type == elf.PT_LOAD && p.Flags&elf.PF_X != 0 && address-p.Vaddr < p.Memsz {
				t.offsets[name] = address - p.Vaddr + p.Off
			}
		}
	}
	if err := goFunctions(f, add); err != nil {
		return nil, fmt.Errorf("functions of %s: %w", path, err)
	}
	for _, table := range []func() ([]elf.Symbol, error){f.Symbols, f.DynamicSymbols} {
		all, err := table()
		if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
			return nil, fmt.Errorf("functions of %s: %w", path, err)
		}
		for _, s := range all {
			if elf.ST_TYPE(s.Info) == elf.STT_FUNC && s.Value != 0 {
				add(s.Name, s.Value)
			}
		}
	}
	return t, nil
}

// goFunctions adds the functions of a Go program, by the table that its runtime has. The
// table counts from where Go's code begins, which it does not tell: that is the beginning
// of the program's code, but where C code was linked before it. Only if the program begins
// where the table has Go's entry the table is right.
func goFunctions(f *elf.File, add func(name string, address uint64)) error {
	table, text := f.Section(".gopclntab"), f.Section(".text")
	if table == nil || text == nil {
		return nil
	}
	data, err := table.Data()
	if err != nil {
		return err
	}
	symbols, err := gosym.NewTable(nil, gosym.NewLineTable(data, text.Addr))
	if err != nil {
		return err
	}
	isEntry := func(fn gosym.Func) bool { return strings.HasPrefix(fn.Name, "_rt0_") && fn.Entry == f.Entry }
	if !slices.ContainsFunc(symbols.Funcs, isEntry) {
		return nil
	}
	for i := range symbols.Funcs {
		add(symbols.Funcs[i].Name, symbols.Funcs[i].Entry)
	}
	return nil
}

// find gives where the functions of a name begin, in order: those whose symbol, or whose
// name as one writes it, with or without the types of its parameters, is that or matches
// it as a pattern. Overloaded functions are several without these types.
func (t *functionTable) find(name string) []uint64 {
	if offset, ok := t.offsets[name]; ok {
		return []uint64{offset}
	}
	own := ownName(name)
	found := t.those(func(symbol string) bool {
		return strings.Contains(symbol, own) && slices.Contains(namesOf(symbol), name)
	})
	if len(found) == 0 && isPattern(name) {
		wanted, first := pattern(name), firstName(name)
		found = t.those(func(symbol string) bool {
			return strings.Contains(symbol, first) && slices.ContainsFunc(namesOf(symbol), wanted.MatchString)
		})
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// those are the functions for whose symbol a test holds.
func (t *functionTable) those(holds func(symbol string) bool) (found []uint64) {
	for symbol, offset := range t.offsets {
		if holds(symbol) {
			found = append(found, offset)
		}
	}
	return found
}

// maxNameLog2 is the length to which names of functions are spelled out, as a power of two.
const maxNameLog2 = 14

// namesOf are a symbol's names: its own, and that of a C++ or Rust function as one
// writes it, with and without the types of its parameters.
func namesOf(symbol string) []string {
	full, err := demangle.ToString(symbol, demangle.MaxLength(maxNameLog2))
	if err != nil {
		return []string{symbol}
	}
	return []string{symbol, full, shortName(symbol)}
}

// shortName is a symbol's name as one writes it, without the types of its parameters.
func shortName(symbol string) string {
	return demangle.Filter(symbol, demangle.NoParams, demangle.MaxLength(maxNameLog2))
}

// ownName is the part of a function's name that its symbol has as it is: the last one, but
// for operators. To look for it saves spelling out most of the names.
func ownName(name string) string {
	name, _, _ = strings.Cut(name, "(")
	name = name[strings.LastIndexByte(name, ':')+1:]
	if strings.HasPrefix(name, "operator") || strings.ContainsFunc(name, noIdentifier) {
		return ""
	}
	return name
}

// firstName is the part of a pattern that the symbols that it matches have as it is: what
// it begins with, but for std.
func firstName(pattern string) string {
	if i := strings.IndexFunc(pattern, noIdentifier); i >= 0 {
		pattern = pattern[:i]
	}
	return strings.TrimPrefix(pattern, "std")
}

// noIdentifier reports whether a character is none of an identifier's.
func noIdentifier(c rune) bool { return c != '_' && !unicode.IsLetter(c) && !unicode.IsDigit(c) }

// unknown says that there is no such function, and which is near.
func (t *functionTable) unknown(name string) error {
	var names []string
	for symbol := range t.offsets {
		names = append(names, shortName(symbol))
	}
	if isPattern(name) {
		return fmt.Errorf("%s has no function that matches %s%s", t.path, name, suggest.Name(strings.Trim(name, "*"), names))
	}
	return fmt.Errorf("%s has no function %s%s", t.path, name, suggest.Name(name, names))
}

// libraries are where shared libraries are looked for.
var libraries = []string{"/lib64", "/usr/lib64", "/lib", "/usr/lib", "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu"}

// findFile finds a program or a library that is named without its folder, as bash and
// libc.so.6.
func findFile(name string) (string, error) {
	if strings.Contains(name, "/") {
		_, err := os.Stat(name)
		return name, err
	}
	if strings.Contains(name, ".so") {
		for _, dir := range libraries {
			path := filepath.Join(dir, name)
			if _, err := os.Stat(path); err == nil {
				return path, nil
			}
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("there is no program or library %s: name the file by its whole path", name)
	}
	return path, nil
}
