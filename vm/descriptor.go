package vm

import (
	"fmt"
	"io"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/maps"
)

// maxDescriptors is how many descriptors programs may hold open, as Linux's default
// RLIMIT_NOFILE says for a process.
const maxDescriptors = 1024

// opened are the descriptors that programs opened and nobody has closed. A
// descriptor is the number of what it stands for, and counts as often as it was
// opened.
var opened = descriptors{handles: make(map[uint32][]io.Closer)}

type descriptors struct {
	mu      sync.Mutex
	handles map[uint32][]io.Closer // *Map, *Program, *types; protected by mu
	n       int                    // handles in all, protected by mu
}

// add makes a handle one that programs hold. EMFILE, and the handle is closed, where
// they hold too many.
func (d *descriptors) add(fd uint32, handle io.Closer) (uint32, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.n == maxDescriptors {
		handle.Close()
		return 0, errno.EMFILE
	}
	d.handles[fd] = append(d.handles[fd], handle)
	d.n++
	return fd, nil
}

// take gives a descriptor's handle to the caller; nil where programs hold none.
func (d *descriptors) take(fd uint32) io.Closer {
	d.mu.Lock()
	defer d.mu.Unlock()
	held := d.handles[fd]
	if len(held) == 0 {
		return nil
	}
	last := held[len(held)-1]
	if held = held[:len(held)-1]; len(held) > 0 {
		d.handles[fd] = held
	} else {
		delete(d.handles, fd)
	}
	d.n--
	return last
}

// types gives the types that a descriptor stands for: EBADF where it stands for
// nothing, EINVAL where for something else.
func (d *descriptors) types(fd uint32) (*btf.Spec, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if held := d.handles[fd]; len(held) > 0 {
		if t, ok := held[0].(*types); ok {
			return t.spec, nil
		}
	}
	return nil, notOpen(fd, maps.Get(maps.Handle(fd)) != nil || maps.ProgByID(fd) != nil)
}

// has reports whether programs hold a descriptor.
func (d *descriptors) has(fd uint32) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.handles[fd]) > 0
}

// notOpen is the error for a descriptor that is not what it has to be. 0 is a
// process's standard input.
func notOpen(fd uint32, other bool) error {
	if other || fd == 0 {
		return fmt.Errorf("descriptor %d is of another kind: %w", fd, errno.EINVAL)
	}
	return fmt.Errorf("descriptor %d: %w", fd, errno.EBADF)
}

// noToken is the error for a descriptor of a token, of which there are none.
func noToken(fd uint32) error {
	return notOpen(fd, maps.Get(maps.Handle(fd)) != nil || maps.ProgByID(fd) != nil || opened.has(fd))
}

// types are an object's types, which programs and maps refer to by their ids.
type types struct {
	spec   *btf.Spec
	number uint32
}

// Close gives the number back. What uses the types keeps them.
func (t *types) Close() error {
	maps.FreeNumber(t.number)
	return nil
}

// mapByFD takes a reference to the map that a descriptor stands for. A map that
// nobody holds open any more has none.
func mapByFD(fd uint32) (*mapObject, error) {
	o := mapByHandle(maps.Handle(fd))
	if o == nil {
		return nil, notOpen(fd, maps.ProgByID(fd) != nil || opened.has(fd))
	}
	if o.handles.Load() == 0 {
		o.unref()
		return nil, notOpen(fd, false)
	}
	return o, nil
}

// NewMapFromFD gives a handle of the map that a number stands for: what [Map.FD]
// gave, or a program wrote that made the map (bpf_sys_bpf). A descriptor that a
// program opened is closed, as the handle takes its place.
func NewMapFromFD(fd int) (*Map, error) {
	obj, err := mapByFD(uint32(fd))
	if err != nil {
		return nil, fmt.Errorf("map: %w", err)
	}
	m := obj.handle()
	if held := opened.take(uint32(fd)); held != nil {
		held.Close()
	}
	return m, nil
}

// NewProgramFromFD gives a handle of the program that a number stands for: what
// [Program.FD] gave, or a program wrote that loaded it (bpf_sys_bpf). A descriptor
// that a program opened is closed, as the handle takes its place.
func NewProgramFromFD(fd int) (*Program, error) {
	p, err := NewProgramFromID(ebpf.ProgramID(fd))
	if err != nil {
		return nil, err
	}
	if held := opened.take(uint32(fd)); held != nil {
		held.Close()
	}
	return p, nil
}

// NewProgramFromID gives a handle of the program that a map says of its element.
func NewProgramFromID(id ebpf.ProgramID) (*Program, error) {
	obj := progByID(uint32(id))
	if obj == nil {
		return nil, fmt.Errorf("program: %w", notOpen(uint32(id), maps.Get(maps.Handle(id)) != nil || opened.has(uint32(id))))
	}
	return &Program{obj}, nil
}
