package program

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
)

// maxObject is the size in bytes beyond which a file is not read. The largest
// objects in use, Cilium's with debug information, have a few megabytes.
const maxObject = 64 << 20

// Program is what an object holds: programs, maps, variables and types.
type Program struct {
	Name string // for messages: the file's name
	Spec *ebpf.CollectionSpec
}

// Open reads the object file at path. The error is one sentence that begins
// with the file's name.
func Open(path string) (*Program, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Read(filepath.Base(path), f)
}

// Read reads an object. The name is for messages.
func Read(name string, r io.ReaderAt) (*Program, error) {
	spec, err := read(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, sentence(err))
	}
	return &Program{Name: name, Spec: spec}, nil
}

func read(r io.ReaderAt) (*ebpf.CollectionSpec, error) {
	data, err := io.ReadAll(io.NewSectionReader(r, 0, maxObject+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxObject {
		return nil, fmt.Errorf("object is larger than %d MiB", maxObject>>20)
	}
	obj, err := parse(data)
	if err != nil {
		return nil, err
	}
	undefined, err := obj.undefined()
	if err != nil {
		return nil, err
	}
	if err := obj.strengthen(); err != nil {
		return nil, err
	}
	tables, err := obj.jumpTables()
	if err != nil {
		return nil, err
	}
	aliases, err := obj.aliasSections()
	if err != nil {
		return nil, err
	}
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(obj.data))
	if err != nil {
		return nil, explain(err)
	}
	if err := CheckTypes(spec.Types); err != nil {
		return nil, err
	}
	if err := obj.addExceptionCallbacks(spec); err != nil {
		return nil, err
	}
	if err := obj.placeJumpTables(spec, tables); err != nil {
		return nil, err
	}
	if err := restoreSections(spec, aliases); err != nil {
		return nil, err
	}
	if err := obj.annotate(spec, undefined); err != nil {
		return nil, err
	}
	obj.hide(spec)
	return spec, nil
}
