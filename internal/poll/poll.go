// Package poll is how a reader of events waits: until there is data, a deadline,
// a flush, or its end.
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

// Poller waits for one source of events.
type Poller struct {
	wait   func(context.Context) error
	closed context.Context
	close  context.CancelCauseFunc

	mu      sync.Mutex
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

// Wait waits for data. It returns [os.ErrDeadlineExceeded] after a deadline that
// is not zero, [ErrFlushed] after a flush, and [os.ErrClosed] after Close.
func (p *Poller) Wait(deadline time.Time) error {
	ctx, cancel := context.WithCancelCause(p.closed)
	defer cancel(nil)
	if !deadline.IsZero() {
		var stop context.CancelFunc
		ctx, stop = context.WithDeadlineCause(ctx, deadline, os.ErrDeadlineExceeded)
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

// Flush ends the wait that goes on, or the next one.
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

// Close ends every wait.
func (p *Poller) Close() { p.close(os.ErrClosed) }
