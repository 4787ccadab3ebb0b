// Package perf reads perf event arrays of the user-space machine, with the names
// and the behaviour of cilium/ebpf's package of the same name.
package perf

import (
	"errors"
	"fmt"
	"os"
	"sync"
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

// ReaderOptions say when a reader is woken, and what a full ring does. The fields
// are cilium/ebpf's.
type ReaderOptions struct {
	// WakeupEvents is how many samples a CPU's ring must hold before Read gives
	// them; Watermark, which excludes it, how many bytes. 0: any.
	WakeupEvents int
	Watermark    int
	// Overwritable makes a full ring forget its oldest sample for a new one. The
	// reader must be paused to read, and gives the newest sample first.
	Overwritable bool
}

// Reader reads the samples of all CPUs of one perf event array. It is safe for
// concurrent use.
type Reader struct {
	samples *maps.PerfReader
	m       *vm.Map
	poll    *poll.Poller
	size    int
	opts    ReaderOptions

	mu     sync.Mutex // protects following
	paused bool
	closed bool
}

// NewReader attaches a ring of perCPUBuffer bytes, rounded up to whole pages, to
// each CPU of a perf event array. An earlier reader gets nothing any more.
func NewReader(array *vm.Map, perCPUBuffer int) (*Reader, error) {
	return NewReaderWithOptions(array, perCPUBuffer, ReaderOptions{})
}

// NewReaderWithOptions is NewReader with options.
func NewReaderWithOptions(array *vm.Map, perCPUBuffer int, opts ReaderOptions) (*Reader, error) {
	rings, ok := array.Unwrap().(*maps.PerfEventArray)
	if !ok {
		return nil, fmt.Errorf("map %s is a %s, not a perf event array", array.Name(), array.Type())
	}
	if perCPUBuffer < 1 {
		return nil, errors.New("the per-CPU buffer must be larger than 0")
	}
	if opts.WakeupEvents > 0 && opts.Watermark > 0 {
		return nil, errors.New("WakeupEvents and Watermark exclude one another")
	}
	size := (perCPUBuffer + pageSize - 1) / pageSize * pageSize
	if opts.Watermark >= size {
		return nil, fmt.Errorf("a watermark of %d bytes is never reached in a ring of %d", opts.Watermark, size)
	}
	samples, err := rings.Open(size, maps.PerfOptions(opts))
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", array.Name(), err)
	}
	held, err := array.Clone()
	if err != nil {
		return nil, err
	}
	return &Reader{samples: samples, m: held, poll: poll.New(samples.Wait), size: size, opts: opts}, nil
}

// Close detaches the rings; calls of Read return [os.ErrClosed].
func (r *Reader) Close() error {
	return r.poll.Close(func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.closed = true
		r.samples.Pause()
		return r.m.Close()
	})
}

// Pause detaches the rings, so that programs' samples are refused with ENOENT
// until Resume.
func (r *Reader) Pause() error { return r.attach(true, r.samples.Pause) }

// Resume attaches the rings again.
func (r *Reader) Resume() error { return r.attach(false, r.samples.Resume) }

func (r *Reader) attach(paused bool, change func()) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return fmt.Errorf("perf event array: %w", ErrClosed)
	}
	r.paused = paused
	change()
	return nil
}

// readable says why nothing can be read now.
func (r *Reader) readable() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.opts.Overwritable && !r.paused && !r.closed {
		return errors.New("a reader whose samples may be overwritten must be paused to read")
	}
	return nil
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
	if err := r.readable(); err != nil {
		return err
	}
	return r.poll.Read(func(last bool) bool {
		next, ok := r.samples.Next(rec.RawSample[:0], last || r.opts.Overwritable)
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
