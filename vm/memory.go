package vm

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm/maps"
)

// Memory is a map's memory as user space sees it without calls, with the methods
// of [ebpf.Memory]: an array's values one after another, each rounded up to 8
// bytes, or an arena. Programs see what is written at once, and parts of it meanwhile. It must
// not be used once the map is closed.
type Memory struct {
	b  []byte
	ro bool
	// end lets the map be frozen; nil for memory that is read-only.
	end func()
	// arena is the map where it is one, whose pages user space's access allocates.
	arena *maps.Arena
}

// Memory gives the memory of a map with the flag BPF_F_MMAPABLE. It is read-only
// where the map is frozen or programs may not write it.
func (m *Map) Memory() (*Memory, error) {
	if m.info.Flags&maps.FlagMmapable == 0 {
		return nil, fmt.Errorf("memory of map %s: it was not created with BPF_F_MMAPABLE: %w", m.info.Name, ebpf.ErrNotSupported)
	}
	shared, ok := m.obj.Map.(maps.Mmapable)
	if !ok {
		return nil, fmt.Errorf("memory of map %s: a %s has none: %w", m.info.Name, m.info.Type, ebpf.ErrNotSupported)
	}
	b, writable := shared.Memory()
	arena, _ := m.obj.Map.(*maps.Arena)
	mm := &Memory{b: b, ro: !writable || shared.Hold() != nil, arena: arena}
	if !mm.ro {
		mm.end = sync.OnceFunc(shared.Release)
		runtime.AddCleanup(mm, func(end func()) { end() }, mm.end)
	}
	return mm, nil
}

// Close ends the view. A map cannot be frozen while there is one that may write;
// one that is not reachable any more is closed by the garbage collector, too.
func (mm *Memory) Close() error {
	mm.b, mm.ro = nil, true
	if mm.end != nil {
		mm.end()
	}
	return nil
}

// Size is the number of bytes, a multiple of the page size.
func (mm *Memory) Size() uint32 { return uint32(len(mm.b)) }

// ReadOnly reports whether WriteAt is refused.
func (mm *Memory) ReadOnly() bool { return mm.ro }

// ReadAt implements [io.ReaderAt].
func (mm *Memory) ReadAt(p []byte, off int64) (int, error) {
	return mm.copy(p, off, "read", func(b []byte) int { return copy(p, b) })
}

// WriteAt implements [io.WriterAt].
func (mm *Memory) WriteAt(p []byte, off int64) (int, error) {
	if mm.ro {
		return 0, fmt.Errorf("write to a map's memory: %w", ebpf.ErrReadOnly)
	}
	return mm.copy(p, off, "write", func(b []byte) int { return copy(b, p) })
}

func (mm *Memory) copy(p []byte, off int64, what string, do func([]byte) int) (int, error) {
	if p == nil {
		return 0, errors.New(what + ": the buffer is nil")
	}
	if off < 0 || off >= int64(len(mm.b)) {
		return 0, fmt.Errorf("%s at byte %d: the memory has %d bytes", what, off, len(mm.b))
	}
	if mm.arena != nil {
		mm.arena.Touch(uint64(off), uint64(min(len(p), len(mm.b)-int(off))))
	}
	n := do(mm.b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
