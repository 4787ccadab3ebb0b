package jit

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// symbols is the file in which perf looks for the names of code that no file has,
// perf-PID.map; nil unless the environment has SKEP_PERF_MAP=1.
var symbols = sync.OnceValues(func() (*os.File, error) {
	if os.Getenv("SKEP_PERF_MAP") != "1" {
		return nil, nil
	}
	name := filepath.Join("/tmp", fmt.Sprintf("perf-%d.map", os.Getpid()))
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) { // an older process's
		return nil, err
	}
	return os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_APPEND|os.O_WRONLY, 0o600)
})

// writeSymbols names a program's code to perf, where that was asked for.
func writeSymbols(p *Program, code *ir.Code, funcs []*ir.Func) error {
	file, err := symbols()
	if file == nil || err != nil {
		return asked(err)
	}
	_, err = file.Write(symbolsOf(p, code, funcs))
	return asked(err)
}

// symbolsOf is a line for the stubs and for each function: address and size, in
// hexadecimal, and a name.
func symbolsOf(p *Program, code *ir.Code, funcs []*ir.Func) []byte {
	var lines bytes.Buffer
	line := func(from, to uint32, name string) {
		fmt.Fprintf(&lines, "%x %x bpf_prog_%s\n", p.code.Addr()+uintptr(from), to-from, name)
	}
	from, name := uint32(0), p.Name()+"[stubs]"
	for i, f := range funcs {
		line(from, code.Entries[i], name)
		if from, name = code.Entries[i], f.Name; f.Entry == 0 {
			name = p.Name()
		}
	}
	line(from, uint32(len(code.Bytes)), name)
	return lines.Bytes()
}

// asked is the error of a perf map, which somebody asked for.
func asked(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("write names for perf, as SKEP_PERF_MAP=1 asks: %w", err)
}
