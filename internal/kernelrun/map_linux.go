//go:build linux && (amd64 || arm64)

package kernelrun

import (
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Map is a map of the kernel. Keys and values are exactly as long as its Spec
// says; a per-CPU value is all CPUs' values, each rounded up to 8 bytes.
type Map struct {
	Spec *ebpf.MapSpec
	fd   int
}

type mapCreateAttr struct {
	mapType, keySize, valueSize, maxEntries, flags uint32
	_                                              [2]uint32 // inner map, NUMA node
	name                                           [unix.BPF_OBJ_NAME_LEN]byte
}

type mapElemAttr struct {
	fd         uint32
	_          uint32
	key, value unsafe.Pointer
	flags      uint64
}

// NewMap makes a map, empty whatever the spec's contents.
func NewMap(spec *ebpf.MapSpec) (*Map, error) {
	attr := mapCreateAttr{
		mapType: uint32(spec.Type), keySize: spec.KeySize, valueSize: spec.ValueSize,
		maxEntries: spec.MaxEntries, flags: spec.Flags,
	}
	copy(attr.name[:len(attr.name)-1], spec.Name)
	fd, err := bpf(unix.BPF_MAP_CREATE, &attr)
	if err != nil {
		return nil, fmt.Errorf("create map %s (%s) in the kernel: %w", spec.Name, spec.Type, err)
	}
	return &Map{spec, fd}, nil
}

// UserLookup copies a value.
func (m *Map) UserLookup(key, value []byte, flags uint64) error {
	return m.elem(unix.BPF_MAP_LOOKUP_ELEM, key, value, flags)
}

// UserUpdate takes a value.
func (m *Map) UserUpdate(key, value []byte, flags uint64) error {
	return m.elem(unix.BPF_MAP_UPDATE_ELEM, key, value, flags)
}

// UserDelete deletes a key.
func (m *Map) UserDelete(key []byte) error {
	return m.elem(unix.BPF_MAP_DELETE_ELEM, key, nil, 0)
}

// NextKey writes the key after key into next; a nil key gives the first. ENOENT
// after the last.
func (m *Map) NextKey(key, next []byte) error {
	return m.elem(unix.BPF_MAP_GET_NEXT_KEY, key, next, 0)
}

// SetProgram makes a program the value of a key.
func (m *Map) SetProgram(key []byte, p *Program) error {
	fd := uint32(p.fd)
	return m.elem(unix.BPF_MAP_UPDATE_ELEM, key, (*[4]byte)(unsafe.Pointer(&fd))[:], 0)
}

// Freeze ends updates from user space.
func (m *Map) Freeze() error {
	_, err := bpf(unix.BPF_MAP_FREEZE, &mapElemAttr{fd: uint32(m.fd)})
	return err
}

// Mmap gives the map's memory, as long as the process lives: an array's values,
// or an arena, which programs can be loaded for from then on.
func (m *Map) Mmap(size int) ([]byte, error) {
	b, err := unix.Mmap(m.fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the memory of map %s: %w", m.Spec.Name, err)
	}
	return b, nil
}

func (m *Map) elem(cmd int, key, value []byte, flags uint64) error {
	_, err := bpf(cmd, &mapElemAttr{fd: uint32(m.fd), key: pointer(key), value: pointer(value), flags: flags})
	return err
}

// Close gives the map back to the kernel.
func (m *Map) Close() error { return unix.Close(m.fd) }
