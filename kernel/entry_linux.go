package kernel

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/suggest"
)

func init() {
	families["xdp/devmap"] = planEntry
	families["xdp/cpumap"] = planEntry
}

// planEntry puts a program into a map of the same object, for what is redirected there.
func planEntry(c *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	entry, err := at.Entry()
	if err != nil {
		return nil, err
	}
	m := c.Maps[entry.Map]
	if m == nil {
		return nil, fmt.Errorf("the programs use no map %s%s", entry.Map, suggest.Name(entry.Map, c.mapNames()))
	}
	if err := entry.Takes(at.Kind, m); err != nil {
		return nil, err
	}
	to, err := leadsTo(entry)
	if err != nil {
		return nil, err
	}
	return func() (io.Closer, error) {
		own, err := m.Clone() // which has a pin of its own
		if err != nil {
			return nil, err
		}
		e := &mapEntry{own, entry.Key}
		if err := e.put(to, prog); err != nil {
			return nil, errors.Join(refusedEntry(entry, err), own.Close())
		}
		return e, nil
	}, nil
}

// leadsTo is what stands beside the program in an entry: an interface's index, or the length
// of a queue.
func leadsTo(e hook.Entry) (uint32, error) {
	if e.Interface == "" {
		return e.Queue, nil
	}
	i, err := interfaceNamed(e.Interface)
	if err != nil {
		return 0, err
	}
	return uint32(i.Index), nil
}

// mapEntry is an entry of a devmap or a cpumap with a program in it. Its pin is one of the
// map.
type mapEntry struct {
	*ebpf.Map
	key uint32
}

func (e *mapEntry) put(to uint32, prog *ebpf.Program) error {
	return e.Put(e.key, [2]uint32{to, uint32(prog.FD())})
}

// refusedEntry says what Linux does not take of an entry.
func refusedEntry(e hook.Entry, err error) error {
	switch {
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("map %s: there is no CPU %d here: %w", e.Map, e.Key, err)
	case errors.Is(err, unix.EOVERFLOW):
		return fmt.Errorf("map %s: a queue of %d packets is too long: %w", e.Map, e.Queue, err)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("map %s: Linux does not take the program; either all that use the map are built for fragments (section xdp.frags) or none: %w", e.Map, err)
	}
	return fmt.Errorf("map %s: %w", e.Map, err)
}

// Close empties the entry, if it is not pinned.
func (e *mapEntry) Close() error {
	var err error
	if !e.IsPinned() {
		err = e.empty()
	}
	return errors.Join(err, e.Map.Close())
}

func (e *mapEntry) empty() error {
	err := e.Delete(e.key)
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return nil
	}
	return err
}

// pinnedEntry is the pin of one.
type pinnedEntry struct {
	mapEntry
	at   hook.Entry
	path string
}

// openEntry takes a pinned map for the one that a link's pin is named after; nil where
// that is no entry of a map.
func openEntry(m *ebpf.Map, path string) (pinnedLink, error) {
	_, name, err := linkOf(filepath.Base(path))
	if err != nil {
		return nil, err
	}
	at, err := hook.Parse(name)
	if err != nil || !at.Kind.InMap() {
		return nil, err
	}
	entry, err := at.Entry()
	if err != nil {
		return nil, err
	}
	return &pinnedEntry{mapEntry{m, entry.Key}, entry, path}, nil
}

// Update has another program run for the entry's packets, wherever it leads by now. Linux looks
// for the interface again in this network namespace, which has to be that of before.
func (e *pinnedEntry) Update(prog *ebpf.Program) error {
	if _, err := leadsTo(e.at); err != nil {
		return err
	}
	var there [2]uint32
	if err := e.Lookup(e.key, &there); err != nil {
		return err
	}
	return e.put(there[0], prog)
}

// remove removes the pin, and empties the entry if it has no other.
func (e *pinnedEntry) remove() error {
	var st unix.Stat_t
	if err := unix.Stat(e.path, &st); err != nil {
		return err
	}
	if st.Nlink == 1 {
		if err := e.empty(); err != nil {
			return err
		}
	}
	return os.Remove(e.path)
}

// Close leaves the entry as it is.
func (e *pinnedEntry) Close() error { return e.Map.Close() }
