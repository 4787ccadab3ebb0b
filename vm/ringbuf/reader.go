// Package ringbuf reads ring buffers of the user-space machine, with the names
// and the behaviour of cilium/ebpf's package of the same name.
package ringbuf

import (
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

// Record is one record.
type Record struct {
	RawSample []byte
	// Remaining is how many bytes wait in the ring buffer after this record.
	Remaining int
}

// Reader reads the records of one ring buffer. It is safe for concurrent use.
type Reader struct {
	ring *maps.Ringbuf
	m    *vm.Map
	poll *poll.Poller
}

// NewReader makes a reader of a ring buffer.
func NewReader(m *vm.Map) (*Reader, error) {
	ring, ok := m.Unwrap().(*maps.Ringbuf)
	if !ok {
		return nil, fmt.Errorf("map %s is a %s, not a ring buffer", m.Name(), m.Type())
	}
	held, err := m.Clone()
	if err != nil {
		return nil, err
	}
	return &Reader{ring: ring, m: held, poll: poll.New(ring.Wait)}, nil
}

// Close ends the reader; calls of Read return [os.ErrClosed].
func (r *Reader) Close() error { return r.poll.Close(r.m.Close) }

// SetDeadline says until when Read waits for data; the zero time means for ever.
func (r *Reader) SetDeadline(t time.Time) { r.poll.SetDeadline(t) }

// Read gives the next record. It returns [os.ErrDeadlineExceeded] after the
// deadline, [ErrFlushed] after a Flush and [os.ErrClosed] after Close; in the
// first two cases only when all records have been read.
func (r *Reader) Read() (Record, error) {
	var rec Record
	err := r.ReadInto(&rec)
	return rec, err
}

// ReadInto is Read that reuses rec's memory.
func (r *Reader) ReadInto(rec *Record) error {
	return r.poll.Read(func(bool) (ok bool) {
		rec.RawSample, rec.Remaining, ok = r.ring.Next(rec.RawSample[:0])
		return ok
	})
}

// BufferSize is the size of the ring buffer in bytes.
func (r *Reader) BufferSize() int { return int(r.ring.Info().MaxEntries) }

// AvailableBytes is how many bytes wait to be read.
func (r *Reader) AvailableBytes() int { return int(r.ring.Query(maps.RingbufAvailData)) }

// Flush makes Read return the records that are there, and then [ErrFlushed].
func (r *Reader) Flush() error { return r.poll.Flush() }
