// Package poll is what readers of events have in common: how they wait, until
// there is data, a deadline, a flush, or their end.
package poll

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"
)

// ErrFlushed says that a wait ended because of [Poller.Flush].
var ErrFlushed = errors.New("ring buffer flushed")

// Poller reads one source of events. It is safe for concurrent use.
type Poller struct {
	wait   func(context.Context) error
	closed context.Context
	close  context.CancelCauseFunc

	reading  sync.Mutex // held by a Read; protects following
	deadline time.Time
	pending  error // what ended the last wait, given once there is nothing left
	freed    bool

	mu      sync.Mutex              // protects following
	flushed bool                    // a flush that no wait has seen yet
	current context.CancelCauseFunc // ends the wait that goes on; may be nil
}

// New makes a Poller. wait returns nil once there may be data, or when its
// context ends.
func New(wait func(context.Context) error) *Poller {
	p := &Poller{wait: wait}
	p.closed, p.close = context.WithCancelCause(context.Background())
	return p
}

// SetDeadline says until when Read waits; the zero time means for ever.
func (p *Poller) SetDeadline(t time.Time) {
	p.reading.Lock()
	defer p.reading.Unlock()
	p.deadline = t
}

// Read calls take until it has taken something, and waits between two calls. The
// last call before an error is told so, and takes also what nobody was woken for. It
// returns [os.ErrDeadlineExceeded] after the deadline, [ErrFlushed] after a Flush
// and [os.ErrClosed] after Close; in the first two cases only when there is
// nothing left to take.
func (p *Poller) Read(take func(last bool) bool) error {
	p.reading.Lock()
	defer p.reading.Unlock()
	for {
		if p.closed.Err() != nil {
			return os.ErrClosed
		}
		if take(p.pending != nil) {
			return nil
		}
		if err := p.pending; err != nil {
			p.pending = nil
			return err
		}
		p.pending = p.once() // data may have come without a wakeup: look once more
	}
}

// once waits for data, or for what ends the wait.
func (p *Poller) once() error {
	ctx, cancel := context.WithCancelCause(p.closed)
	defer cancel(nil)
	if !p.deadline.IsZero() {
		var stop context.CancelFunc
		ctx, stop = context.WithDeadlineCause(ctx, p.deadline, os.ErrDeadlineExceeded)
		defer stop()
	}
	p.mu.Lock()
	p.current = cancel
	if p.flushed {
		cancel(ErrFlushed)
	}
	p.mu.Unlock()

	err := p.wait(ctx)

	p.mu.Lock()
	defer p.mu.Unlock()
	p.current = nil
	if err == nil {
		return nil
	}
	err = context.Cause(ctx)
	if errors.Is(err, ErrFlushed) {
		p.flushed = false
	}
	return err
}

// Flush makes Read take what is there, and then return [ErrFlushed].
func (p *Poller) Flush() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed.Err() != nil {
		return os.ErrClosed
	}
	p.flushed = true
	if p.current != nil {
		p.current(ErrFlushed)
	}
	return nil
}

// Close ends every Read and then calls free, the first time.
func (p *Poller) Close(free func() error) error {
	p.close(os.ErrClosed)
	p.reading.Lock()
	defer p.reading.Unlock()
	if p.freed {
		return nil
	}
	p.freed = true
	return free()
}
