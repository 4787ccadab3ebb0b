package machine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"

	vmmaps "github.com/skep-ebpf/skep/vm/maps"
	"github.com/skep-ebpf/skep/vm/perf"
	"github.com/skep-ebpf/skep/vm/ringbuf"
)

// perfRing is the size of a CPU's ring of a perf event array, in bytes.
const perfRing = 1 << 20

// Events implements [Collection].
func (c *UserCollection) Events(name string) (Events, error) {
	m := c.Maps[name]
	if m == nil {
		return nil, fmt.Errorf("%s: the object has no map %s", c.name, name)
	}
	e := &userEvents{name: name}
	switch m.Type() {
	case ebpf.RingBuf:
		r, err := ringbuf.NewReader(m)
		if err != nil {
			return nil, fmt.Errorf("read map %s: %w", name, err)
		}
		e.reader = &ringReader{Reader: r, ring: m.Unwrap().(*vmmaps.Ringbuf)}
	case ebpf.PerfEventArray:
		r, err := perf.NewReader(m, perfRing)
		if err != nil {
			return nil, fmt.Errorf("read map %s: %w", name, err)
		}
		e.reader = &perfReader{Reader: r}
	default:
		return nil, fmt.Errorf("read map %s: its type is %s: %w", name, m.Type(), ErrNoEvents)
	}
	return e, nil
}

// userEvents reads a map of skep's own machine.
type userEvents struct {
	name   string
	reader interface {
		// next gives the next record; false: it was no record, but a count of lost ones.
		next(r *Record) (bool, error)
		lost() uint64
		SetDeadline(time.Time)
		Flush() error
		Close() error
	}
	ended bool // the reader gives only what is there
}

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// Read implements [Events].
func (e *userEvents) Read(ctx context.Context, r *Record) error {
	if ended := ctx.Err() != nil; ended != e.ended {
		e.ended = ended
		if ended {
			e.reader.SetDeadline(past)
		} else {
			e.reader.SetDeadline(time.Time{})
		}
	}
	if !e.ended {
		stop := context.AfterFunc(ctx, func() { _ = e.reader.Flush() })
		defer stop()
	}
	for {
		ok, err := e.reader.next(r)
		switch {
		case err != nil && ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, ringbuf.ErrFlushed): // for a context that ended before
		case err != nil:
			return fmt.Errorf("read map %s: %w", e.name, err)
		case ok:
			return nil
		}
	}
}

// Lost implements [Events].
func (e *userEvents) Lost() (uint64, error) { return e.reader.lost(), nil }

// Close implements [Events].
func (e *userEvents) Close() error { return e.reader.Close() }

type ringReader struct {
	*ringbuf.Reader
	ring   *vmmaps.Ringbuf
	record ringbuf.Record
}

func (r *ringReader) next(out *Record) (bool, error) {
	err := r.ReadInto(&r.record)
	out.Data, out.CPU = r.record.RawSample, -1
	return true, err
}

func (r *ringReader) lost() uint64 { return r.ring.Dropped() }

type perfReader struct {
	*perf.Reader
	record perf.Record
	gone   uint64
}

func (r *perfReader) next(out *Record) (bool, error) {
	if err := r.ReadInto(&r.record); err != nil {
		return false, err
	}
	r.gone += r.record.LostSamples
	out.Data, out.CPU = r.record.RawSample, r.record.CPU
	return r.record.LostSamples == 0, nil
}

func (r *perfReader) lost() uint64 { return r.gone }
