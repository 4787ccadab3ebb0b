package kernel

import (
	"context"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
)

// ErrNoEvents says of a map that programs send no events through it.
var ErrNoEvents = errors.New("it carries no events")

// Record is what a program sent. Who reads often reuses it.
type Record struct {
	Data []byte
	CPU  int // -1: the map does not tell
}

// Events reads what programs send through a map: a ring buffer or a perf event array.
type Events struct {
	name   string
	reader reader
	lost   uint64
}

// errFlushed is after the last record that there is.
var errFlushed = ringbuf.ErrFlushed

// reader reads one type of maps.
type reader interface {
	// read waits for the next record; lost says how many were lost before it, and
	// then there may be no record. After Flush it gives those that there are, and then
	// errFlushed.
	read(r *Record) (lost uint64, err error)
	Flush() error
	Close() error
}

// Events begins to read a map. An error that is [ErrNoEvents] says that the map is of
// another type.
func (c *Collection) Events(name string) (*Events, error) {
	m := c.Maps[name]
	if m == nil {
		return nil, fmt.Errorf("%s: the object has no map %s", c.name, name)
	}
	var r reader
	var err error
	switch m.Type() {
	case ebpf.RingBuf:
		r, err = newRingReader(m)
	case ebpf.PerfEventArray:
		r, err = newPerfReader(m)
	default:
		err = fmt.Errorf("its type is %s: %w", m.Type(), ErrNoEvents)
	}
	if err != nil {
		return nil, fmt.Errorf("read map %s: %w", name, denied(err, c.needs))
	}
	return &Events{name: name, reader: r}, nil
}

// Read waits for the next record. When ctx ends it gives what is still there, then the
// error of ctx. Programs that are still attached may send for ever: [Collection.Detach]
// comes first.
func (e *Events) Read(ctx context.Context, r *Record) error {
	stop := context.AfterFunc(ctx, func() { _ = e.reader.Flush() })
	defer stop()
	for {
		lost, err := e.reader.read(r)
		e.lost += lost
		switch {
		case errors.Is(err, errFlushed):
			return context.Cause(ctx)
		case err != nil:
			return fmt.Errorf("read map %s: %w", e.name, err)
		case lost == 0:
			return nil
		}
	}
}

// Lost counts the records that found no room, so far. Linux counts them in perf event
// arrays alone: of a ring buffer only the program knows.
func (e *Events) Lost() uint64 { return e.lost }

// Close ends reading.
func (e *Events) Close() error { return e.reader.Close() }

type ringReader struct {
	*ringbuf.Reader
	record ringbuf.Record
}

func newRingReader(m *ebpf.Map) (reader, error) {
	r, err := ringbuf.NewReader(m)
	return &ringReader{Reader: r}, err
}

func (r *ringReader) read(out *Record) (uint64, error) {
	err := r.ReadInto(&r.record)
	out.Data, out.CPU = r.record.RawSample, -1
	return 0, err
}
