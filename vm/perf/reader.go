// Package perf reads perf event arrays of the user-space machine, with the names
// and the behaviour of cilium/ebpf's package of the same name.
package perf

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/skep-ebpf/skep/internal/poll"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/maps"
)

// Errors that Read returns.
var (
	ErrClosed  = os.ErrClosed
	ErrFlushed = poll.ErrFlushed
)

// Record is a sample, or a count of samples that were lost.
type Record struct {
	// CPU is where the record came from.
	CPU       int
	RawSample []byte
	// LostSamples is how many samples found no room before this point.
	LostSamples uint64
	// Remaining is how many bytes wait in this CPU's ring after the record.
	Remaining int
}

// pageSize is what the size of a ring is rounded up to, in bytes.
const pageSize = 4096

// Reader reads the samples of all CPUs of one perf event array. It is safe for
// concurrent use.
type Reader struct {
	samples *maps.PerfReader
	m       *vm.Map
	poll    *poll.Poller
	size    int
}

// NewReader attaches a ring of perCPUBuffer bytes, rounded up to whole pages, to
// each CPU of a perf event array. An earlier reader gets nothing any more.
func NewReader(array *vm.Map, perCPUBuffer int) (*Reader, error) {
	rings, ok := array.Unwrap().(*maps.PerfEventArray)
	if !ok {
		return nil, fmt.Errorf("map %s is a %s, not a perf event array", array.Name(), array.Type())
	}
	if perCPUBuffer < 1 {
		return nil, errors.New("the per-CPU buffer must be larger than 0")
	}
	size := (perCPUBuffer + pageSize - 1) / pageSize * pageSize
	samples, err := rings.Open(size)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", array.Name(), err)
	}
	held, err := array.Clone()
	if err != nil {
		return nil, err
	}
	return &Reader{samples, held, poll.New(samples.Wait), size}, nil
}

// Close detaches the rings; calls of Read return [os.ErrClosed].
func (r *Reader) Close() error {
	return r.poll.Close(func() error { return errors.Join(r.samples.Close(), r.m.Close()) })
}

// SetDeadline says until when Read waits for data; the zero time means for ever.
func (r *Reader) SetDeadline(t time.Time) { r.poll.SetDeadline(t) }

// Read gives the next record of any CPU. It returns [os.ErrDeadlineExceeded]
// after the deadline, [ErrFlushed] after a Flush and [os.ErrClosed] after Close;
// in the first two cases only when all records have been read.
func (r *Reader) Read() (Record, error) {
	var rec Record
	err := r.ReadInto(&rec)
	return rec, err
}

// ReadInto is Read that reuses rec's memory.
func (r *Reader) ReadInto(rec *Record) error {
	return r.poll.Read(func() bool {
		next, ok := r.samples.Next(rec.RawSample[:0])
		if ok {
			*rec = Record{CPU: next.CPU, RawSample: next.Sample, LostSamples: next.Lost, Remaining: next.Remaining}
		}
		return ok
	})
}

// BufferSize is the size of each CPU's ring in bytes.
func (r *Reader) BufferSize() int { return r.size }

// Flush makes Read return the records that are there, and then [ErrFlushed].
func (r *Reader) Flush() error { return r.poll.Flush() }
