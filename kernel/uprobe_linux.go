package kernel

import (
	"debug/elf"
	"debug/gosym"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/suggest"
)

func init() {
	families["uprobe"], families["uretprobe"] = planUprobe, planUprobe
	families["uprobe.multi"], families["uretprobe.multi"] = planUprobeMulti, planUprobeMulti
}

// uprobe is where in a file a program is attached: PATH:NAME, PATH:NAME+OFFSET or
// PATH:0xOFFSET into the file, with ,pid=N behind it for one process.
type uprobe struct {
	path, name      string
	offset, address uint64
	pid             int
}

func parseUprobe(at hook.Point) (*uprobe, error) {
	target, pid, err := cutPID(at)
	if err != nil {
		return nil, err
	}
	i := strings.LastIndexByte(target, ':')
	if i <= 0 || i == len(target)-1 {
		return nil, fmt.Errorf("%s: want %s, such as %s", at, at.Kind.Wants, at.Kind.Example)
	}
	u := &uprobe{path: target[:i], name: target[i+1:], pid: pid}
	if strings.HasPrefix(u.name, "0x") {
		if u.address, err = strconv.ParseUint(u.name, 0, 63); err != nil || u.address == 0 {
			return nil, fmt.Errorf("%s: %q is no address", at, u.name)
		}
		return u, nil
	}
	u.name, u.offset, err = cutOffset(at, u.name)
	return u, err
}

// planUprobe attaches to a function in a file, or to its return.
func planUprobe(_ *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	u, err := parseUprobe(at)
	if err != nil {
		return nil, err
	}
	if u.address == 0 {
		offsets, err := fileFunctions(u.path)
		if err != nil {
			return nil, err
		}
		var ok bool
		if u.address, ok = offsets[u.name]; !ok {
			return nil, fmt.Errorf("%s has no function %s%s", u.path, u.name, suggest.Name(u.name, slices.Collect(maps.Keys(offsets))))
		}
	}
	file, err := link.OpenExecutable(u.path)
	if err != nil {
		return nil, err
	}
	opts := &link.UprobeOptions{Address: u.address, Offset: u.offset, PID: u.pid}
	return func() (io.Closer, error) {
		if at.Kind.Name == "uretprobe" {
			return file.Uretprobe(u.name, prog, opts)
		}
		return file.Uprobe(u.name, prog, opts)
	}, nil
}

// planUprobeMulti attaches to all functions in a file whose names match a pattern.
func planUprobeMulti(_ *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	u, err := parseUprobe(at)
	if err != nil {
		return nil, err
	}
	offsets, err := fileFunctions(u.path)
	if err != nil {
		return nil, err
	}
	names := slices.Sorted(maps.Keys(offsets))
	found := matches(u.name, names)
	if len(found) == 0 {
		return nil, fmt.Errorf("%s has no function that matches %s%s", u.path, u.name, suggest.Name(strings.Trim(u.name, "*"), names))
	}
	file, err := link.OpenExecutable(u.path)
	if err != nil {
		return nil, err
	}
	opts := &link.UprobeMultiOptions{PID: uint32(u.pid)}
	for _, name := range found {
		opts.Addresses = append(opts.Addresses, offsets[name])
	}
	return func() (io.Closer, error) {
		if at.Kind.Name == "uretprobe.multi" {
			return file.UretprobeMulti(nil, prog, opts)
		}
		return file.UprobeMulti(nil, prog, opts)
	}, nil
}

// fileFunctions gives the functions that a file defines, and where in the file each
// begins. Of a Go program without symbols they come from the table that its runtime has.
func fileFunctions(name string) (map[string]uint64, error) {
	f, err := elf.Open(name)
	if err != nil {
		return nil, fmt.Errorf("functions of %s: %w", name, err)
	}
	defer f.Close()
	offsets := make(map[string]uint64)
	add := func(name string, address uint64) {
		for _, p := range f.Progs {
			if p.Type == elf.PT_LOAD && p.Flags&elf.PF_X != 0 && address-p.Vaddr < p.Memsz {
				offsets[name] = address - p.Vaddr + p.Off
			}
		}
	}
	if err := goFunctions(f, add); err != nil {
		return nil, fmt.Errorf("functions of %s: %w", name, err)
	}
	for _, table := range []func() ([]elf.Symbol, error){f.Symbols, f.DynamicSymbols} {
		all, err := table()
		if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
			return nil, fmt.Errorf("functions of %s: %w", name, err)
		}
		for _, s := range all {
			if elf.ST_TYPE(s.Info) == elf.STT_FUNC && s.Value != 0 {
				add(s.Name, s.Value)
			}
		}
	}
	return offsets, nil
}

// goFunctions adds the functions of a Go program.
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
	for i := range symbols.Funcs {
		add(symbols.Funcs[i].Name, symbols.Funcs[i].Entry)
	}
	return nil
}
