package kernel

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"
)

// ErrNoEvents says of a map that programs send no events through it.
var ErrNoEvents = errors.New("it carries no events")

// Record is what a program sent or printed. Who reads often reuses it.
type Record struct {
	Data    []byte
	CPU     int    // -1: the map does not tell
	Program string // that printed it; "": not known
	Stream  string // "stdout" or "stderr", of what was written there
}

// Events reads what programs send through a map, a ring buffer or a perf event array, or
// what they print.
type Events struct {
	name   string // of the map, or printedName
	reader reader
	watch  *watch

	ctx  context.Context // of the last Read; its end flushes the reader
	stop func() bool     // that it does

	mu   sync.Mutex // protects following
	lost uint64     // that the reader has seen
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
	return &Events{name: name, reader: r, watch: c.watch}, nil
}

// Printed begins to read what programs print, a text a record; nil where none prints, or
// [Options].Watch was not said.
func (c *Collection) Printed() (*Events, error) {
	if c.watch.printed == nil {
		return nil, nil
	}
	r, err := newRingReader(c.watch.printed)
	if err != nil {
		return nil, fmt.Errorf("read what programs print: %w", err)
	}
	return &Events{name: printedName, reader: &printedReader{r, c.watch.programs}, watch: c.watch}, nil
}

// Unseen says what of programs' records cannot be seen or counted, a sentence each.
func (c *Collection) Unseen() []string { return c.watch.blind }

// Read waits for the next record. When ctx ends it gives what is still there, then the
// error of ctx. Programs that are still attached may send for ever: [Collection.Detach]
// comes first.
func (e *Events) Read(ctx context.Context, r *Record) error {
	if ctx != e.ctx {
		e.forget()
		e.ctx, e.stop = ctx, context.AfterFunc(ctx, func() { _ = e.reader.Flush() }) // which fails when it is closed alone
	}
	for {
		lost, err := e.reader.read(r)
		if lost > 0 {
			e.mu.Lock()
			e.lost += lost
			e.mu.Unlock()
		}
		switch {
		case errors.Is(err, errFlushed) && ctx.Err() == nil: // for a context before
		case errors.Is(err, errFlushed):
			e.forget()
			return context.Cause(ctx)
		case err != nil:
			return fmt.Errorf("read %s: %w", e.name, err)
		case lost == 0:
			return nil
		}
	}
}

// forget ends the wait for the end of a context.
func (e *Events) forget() {
	if e.stop != nil {
		e.stop()
	}
	e.ctx, e.stop = nil, nil
}

// Lost counts the records that found no room, so far. Without [Options].Watch Linux counts
// them in perf event arrays alone, and not those behind the last one that found room.
func (e *Events) Lost() (uint64, error) {
	counted, err := e.watch.count(e.name)
	if err != nil {
		return 0, fmt.Errorf("count what %s lost: %w", e.name, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return max(counted, e.lost), nil // programs know more, where they could all be changed
}

// Close ends reading.
func (e *Events) Close() error {
	e.forget()
	return e.reader.Close()
}

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

// printedReader reads records of the ring buffer of what programs print.
type printedReader struct {
	reader
	programs []string
}

func (r *printedReader) read(out *Record) (uint64, error) {
	if _, err := r.reader.read(out); err != nil {
		return 0, err
	}
	out.CPU = int(binary.NativeEndian.Uint32(out.Data))
	out.Program = r.programs[binary.NativeEndian.Uint32(out.Data[4:])]
	text, _, _ := bytes.Cut(out.Data[printedText:], []byte{0})
	out.Data = bytes.TrimSuffix(text, []byte{'\n'})
	return 0, nil
}
