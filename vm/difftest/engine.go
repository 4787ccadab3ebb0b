package difftest

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/progen"
)

// Engine is one way of running a case.
type Engine struct {
	Name string
	Run  func(*progen.Case) (*Result, error)
}

// Result is what a run leaves, or why there was none.
type Result struct {
	Refused errno.Errno // the input was refused; nothing else is set
	Ret     uint32
	Packet  []byte
	Ctx     []byte
	// Maps are the maps' contents by name and key. A per-CPU value is CPU 0's,
	// which runs the program, and behind it CPU 1's where there is one.
	Maps map[string]map[string][]byte
}

// refused makes a result of an error that carries a number.
func refused(err error) (*Result, error) {
	var n errno.Errno
	if !errors.As(err, &n) {
		return nil, err
	}
	return &Result{Refused: n}, nil
}

// table is a map as user space sees it, in the kernel or in the machine.
type table interface {
	UserLookup(key, value []byte, flags uint64) error
	UserUpdate(key, value []byte, flags uint64) error
	NextKey(key, next []byte) error
}

// layout is how a map's value lies for user space.
type layout struct {
	size, stride, cpus int
}

func layoutOf(m *progen.Map, cpus int) layout {
	size := int(m.ValueSize)
	if !perCPU(m.Type) {
		return layout{size, size, 1}
	}
	return layout{size, (size + 7) &^ 7, cpus}
}

// fill puts the initial contents of m into t.
func fill(t table, m *progen.Map, cpus int) error {
	l := layoutOf(m, cpus)
	for _, e := range m.Entries {
		value := make([]byte, l.stride*l.cpus)
		for cpu := range l.cpus {
			copy(value[cpu*l.stride:], e.Value)
		}
		if err := t.UserUpdate(e.Key, value, 0); err != nil {
			return fmt.Errorf("fill map %s, key %x: %w", m.Name, e.Key, err)
		}
	}
	return nil
}

// read gives what t holds.
func read(t table, m *progen.Map, cpus int) (map[string][]byte, error) {
	l := layoutOf(m, cpus)
	contents := map[string][]byte{}
	var key []byte
	for {
		next := make([]byte, m.KeySize)
		err := t.NextKey(key, next)
		if errors.Is(err, errno.ENOENT) {
			return contents, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list the keys of map %s: %w", m.Name, err)
		}
		all := make([]byte, l.stride*l.cpus)
		if err := t.UserLookup(next, all, 0); err != nil {
			return nil, fmt.Errorf("read map %s, key %x: %w", m.Name, next, err)
		}
		value := all[:l.size]
		if l.cpus > 1 {
			value = append(value[:l.size:l.size], all[l.stride:l.stride+l.size]...)
		}
		contents[fmt.Sprintf("%x", next)] = value
		key = next
	}
}

func perCPU(t ebpf.MapType) bool { return t == ebpf.PerCPUArray || t == ebpf.PerCPUHash }
