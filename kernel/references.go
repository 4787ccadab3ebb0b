package kernel

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/cilium/ebpf"
)

// Set changes or adds an entry. A program or a map in its value is meant by its number, as
// lookups give it, where Linux takes a descriptor.
func (m *PinnedMap) Set(key, value []byte) error {
	value = bytes.Clone(value)
	var number []byte
	open := openProgram
	switch m.Type() {
	case ebpf.DevMap, ebpf.DevMapHash, ebpf.CPUMap:
		number = value[4:] // struct bpf_devmap_val and bpf_cpumap_val; or nothing
	case ebpf.ProgramArray:
		number = value
	case ebpf.ArrayOfMaps, ebpf.HashOfMaps:
		number, open = value, openMapNumbered
	}
	if len(number) == 4 && !bytes.Equal(number, make([]byte, 4)) {
		object, err := open(binary.NativeEndian.Uint32(number))
		if err != nil {
			return err
		}
		defer object.Close()
		binary.NativeEndian.PutUint32(number, uint32(object.FD()))
	}
	return m.Put(key, value)
}

// described is what has a descriptor.
type described interface {
	io.Closer
	FD() int
}

func openProgram(id uint32) (described, error) {
	p, err := ebpf.NewProgramFromID(ebpf.ProgramID(id))
	if err != nil {
		return nil, fmt.Errorf("open program %d: %w", id, err)
	}
	return p, nil
}

func openMapNumbered(id uint32) (described, error) {
	m, err := ebpf.NewMapFromID(ebpf.MapID(id))
	if err != nil {
		return nil, fmt.Errorf("open map %d: %w", id, err)
	}
	return m, nil
}
