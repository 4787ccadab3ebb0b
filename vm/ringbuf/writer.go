package ringbuf

import (
	"context"
	"fmt"

	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/maps"
)

// Writer writes records into a user ring buffer, from which programs take them
// with bpf_user_ringbuf_drain. It is safe for concurrent use. Its methods are named
// as libbpf's.
type Writer struct {
	ring *maps.UserRingbuf
	m    *vm.Map
}

// NewWriter makes a writer of a user ring buffer.
func NewWriter(m *vm.Map) (*Writer, error) {
	ring, ok := m.Unwrap().(*maps.UserRingbuf)
	if !ok {
		return nil, fmt.Errorf("map %s is a %s, not a user ring buffer", m.Name(), m.Type())
	}
	held, err := m.Clone()
	if err != nil {
		return nil, err
	}
	return &Writer{ring, held}, nil
}

// Close ends the writer. Records that were submitted stay.
func (w *Writer) Close() error { return w.m.Close() }

// Reserve gives size bytes of the ring, which the caller fills and then hands to
// Submit or Discard; later records wait behind it. Its error is ENOSPC while the
// ring is full, and E2BIG where the ring is too small.
func (w *Writer) Reserve(size int) ([]byte, error) {
	b, err := w.ring.Reserve(size)
	if err != nil {
		return nil, fmt.Errorf("reserve %d bytes in map %s: %w", size, w.m.Name(), err)
	}
	return b, nil
}

// Submit makes a record that Reserve gave visible to programs.
func (w *Writer) Submit(record []byte) { w.ring.Submit(record) }

// Discard makes programs pass over a record that Reserve gave.
func (w *Writer) Discard(record []byte) { w.ring.Discard(record) }

// Write writes b as one record. It implements [io.Writer].
func (w *Writer) Write(b []byte) (int, error) {
	record, err := w.Reserve(len(b))
	if err != nil {
		return 0, err
	}
	n := copy(record, b)
	w.Submit(record)
	return n, nil
}

// Wait waits until a program has taken records out.
func (w *Writer) Wait(ctx context.Context) error { return w.ring.Wait(ctx) }
