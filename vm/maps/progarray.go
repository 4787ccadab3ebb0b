package maps

import (
	"fmt"
	"sync"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
)

// progArray is BPF_MAP_TYPE_PROG_ARRAY.
type progArray struct {
	slots
	mu      sync.Mutex // held by who changes an element
	entries *mem.Block // protected by mu; machine code reads it
}

// EntryInGo is in the place of an address where an element is a program that machine
// code cannot go on in by itself.
const EntryInGo = 1

// Entered is a program that machine code can go on in.
type Entered interface {
	// Entry is the address of its machine code, or EntryInGo.
	Entry() uintptr
}

func newProgArray(info Info) (Map, error) {
	p := &progArray{}
	p.init(info, p)
	entries, err := mem.New(8 * uint64(info.MaxEntries))
	if err != nil {
		return nil, fmt.Errorf("%v: %w", err, errno.ENOMEM)
	}
	p.entries = entries
	return p, p.open()
}

// Prog implements ProgArray.
func (p *progArray) Prog(index uint32) any {
	id := p.at(index)
	if id == 0 {
		return nil
	}
	return ProgByID(id)
}

// Entries implements ProgArray.
func (p *progArray) Entries() uintptr { return p.entries.Addr() }

// enter makes machine code go on at an address, where it tail-calls an element; 0:
// nowhere.
func (p *progArray) enter(key []byte, entry uintptr) {
	storeU64(p.entries.Addr()+8*uintptr(u32(key)), uint64(entry))
}

func (p *progArray) userUpdate(key, value []byte, flags uint64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.set(key, value, flags, func(id uint32) error {
		if ProgByID(id) == nil {
			return errno.EBADF
		}
		return nil
	})
	if err != nil {
		return err
	}
	entry := uintptr(EntryInGo)
	if prog, ok := ProgByID(u32(value)).(Entered); ok {
		entry = prog.Entry()
	}
	p.enter(key, entry)
	return nil
}

func (p *progArray) userDelete(key []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.slots.userDelete(key); err != nil {
		return err
	}
	p.enter(key, 0)
	return nil
}

// Close implements Map.
func (p *progArray) Close() error {
	if err := p.slots.Close(); err != nil {
		return err
	}
	return p.entries.Free()
}
