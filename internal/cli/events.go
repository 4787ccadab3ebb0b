package cli

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/report"
	"github.com/skep-ebpf/skep/vm"
	vmmaps "github.com/skep-ebpf/skep/vm/maps"
	"github.com/skep-ebpf/skep/vm/perf"
	"github.com/skep-ebpf/skep/vm/ringbuf"
)

// perfRing is the size of a CPU's ring of a perf event array, in bytes. It is
// read after each packet, so it need hold no more than one packet's samples.
const perfRing = 1 << 20

// eventSource is a ring buffer or perf event array that is read.
type eventSource struct {
	name  string
	types []sizedType // what a record may be
	ring  *ringbuf.Reader
	drops *vmmaps.Ringbuf
	perf  *perf.Reader
	gone  uint64 // samples that perf lost
}

type sizedType struct {
	typ  btf.Type
	size int // bytes
}

// openEvents attaches readers to every map that carries events. forced are the
// types that the user names, as map=type.
func openEvents(coll *vm.Collection, spec *ebpf.CollectionSpec, forced []string) ([]*eventSource, error) {
	named := make(map[string]sizedType)
	for _, s := range forced {
		name, typ, err := forcedType(spec, s)
		if err != nil {
			return nil, err
		}
		if coll.Maps[name] == nil {
			return nil, fmt.Errorf("--event %s: the program uses no map %s; it uses %s", s, name,
				strings.Join(slices.Sorted(maps.Keys(coll.Maps)), ", "))
		}
		named[name] = typ
	}
	guesses := pointedTypes(spec)
	var sources []*eventSource
	for _, name := range slices.Sorted(maps.Keys(coll.Maps)) {
		m := coll.Maps[name]
		e := &eventSource{name: name, types: guesses}
		if t, ok := named[name]; ok {
			e.types = []sizedType{t}
		} else if t, ok := withSize(m.Value()); ok {
			e.types = []sizedType{t}
		}
		var err error
		switch m.Type() {
		case ebpf.RingBuf:
			e.ring, err = ringbuf.NewReader(m)
			e.drops = m.Unwrap().(*vmmaps.Ringbuf)
		case ebpf.PerfEventArray:
			e.perf, err = perf.NewReader(m, perfRing)
		default:
			if _, ok := named[name]; ok {
				err = fmt.Errorf("--event: map %s is a %s, which carries no events", name, m.Type())
			} else {
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		sources = append(sources, e)
	}
	return sources, nil
}

// forcedType reads map=type.
func forcedType(spec *ebpf.CollectionSpec, s string) (string, sizedType, error) {
	name, typeName, ok := strings.Cut(s, "=")
	if !ok {
		return "", sizedType{}, usagef("--event %s: want map=type", s)
	}
	if spec.Types == nil {
		return "", sizedType{}, fmt.Errorf("--event %s: the object has no type information (BTF); build it with -g", s)
	}
	found, err := spec.Types.AnyTypesByName(strings.TrimPrefix(typeName, "struct "))
	if err != nil {
		return "", sizedType{}, fmt.Errorf("--event %s: type %s: %w", s, typeName, err)
	}
	for _, t := range found {
		if st, ok := withSize(t); ok {
			return name, st, nil
		}
	}
	return "", sizedType{}, fmt.Errorf("--event %s: %s is no type of data", s, typeName)
}

// pointedTypes are the structs that global pointer variables of the object point
// to. It is how authors keep an event's type in an object that no map names:
//
//	const struct event *unused __attribute__((unused));
func pointedTypes(spec *ebpf.CollectionSpec) []sizedType {
	var types []sizedType
	for _, name := range slices.Sorted(maps.Keys(spec.Variables)) {
		v := spec.Variables[name]
		if v.Type == nil {
			continue
		}
		p, ok := btf.UnderlyingType(v.Type.Type).(*btf.Pointer)
		if !ok {
			continue
		}
		if s, ok := btf.UnderlyingType(p.Target).(*btf.Struct); ok {
			types = append(types, sizedType{s, int(s.Size)})
		}
	}
	return types
}

func withSize(t btf.Type) (sizedType, bool) {
	if t == nil {
		return sizedType{}, false
	}
	size, err := btf.Sizeof(t)
	return sizedType{t, size}, err == nil && size > 0
}

// typeOf is what a record of n bytes is: the only type there is, or the only one
// of this size, give or take perf's padding; nil where that is not clear.
func (e *eventSource) typeOf(n int) btf.Type { return typeAmong(e.types, n, e.perf != nil) }

func typeAmong(types []sizedType, n int, perf bool) btf.Type {
	if len(types) == 1 {
		return types[0].typ
	}
	var match btf.Type
	for _, t := range types {
		if t.size == n || perf && t.size < n && n-t.size < 8 {
			if match != nil {
				return nil
			}
			match = t.typ
		}
	}
	return match
}

// drain writes the records that have come.
func (e *eventSource) drain(s *session) error {
	for {
		ev := report.Event{Map: e.name, Packet: s.packet, CPU: -1}
		if e.ring != nil {
			e.ring.SetDeadline(time.Unix(1, 0)) // only what is there
			rec, err := e.ring.Read()
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("map %s: %w", e.name, err)
			}
			ev.Value.Data = rec.RawSample
		} else {
			e.perf.SetDeadline(time.Unix(1, 0))
			rec, err := e.perf.Read()
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("map %s: %w", e.name, err)
			}
			if rec.LostSamples > 0 {
				e.gone += rec.LostSamples
				continue
			}
			ev.Value.Data = rec.RawSample
		}
		ev.Value.Type = e.typeOf(len(ev.Value.Data))
		if err := s.out.Event(&ev); err != nil {
			return err
		}
	}
}

// lost counts the records that found no room.
func (e *eventSource) lost() uint64 {
	if e.ring != nil {
		return e.drops.Dropped()
	}
	return e.gone
}

// Close detaches the reader.
func (e *eventSource) Close() error {
	if e.ring != nil {
		return e.ring.Close()
	}
	return e.perf.Close()
}
