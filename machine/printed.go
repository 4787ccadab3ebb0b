package machine

import (
	"context"
	"sync"
)

// Printed implements [Collection].
func (c *UserCollection) Printed() (Events, error) { return c.printed, nil }

// Streams implements [Collection].
func (c *UserCollection) Streams() (Events, error) { return &lines{Events: c.streams}, nil }

// Unseen implements [Collection]: nothing escapes skep's own machine.
func (c *UserCollection) Unseen() []string { return nil }

// printed is what programs of skep's own machine printed and nobody has read yet.
type printed struct {
	wake chan struct{} // holds one where there may be texts

	mu    sync.Mutex // protects following
	texts []text
}

// text is what was printed at once.
type text struct{ stream, text string }

func newPrinted() *printed { return &printed{wake: make(chan struct{}, 1)} }

// add takes what was printed with bpf_printk, or to a stream.
func (p *printed) add(stream, what string) {
	p.mu.Lock()
	p.texts = append(p.texts, text{stream, what})
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// take gives the first text; false: there is none.
func (p *printed) take(r *Record) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.texts) == 0 {
		return false
	}
	r.Data, r.CPU, r.Stream = append(r.Data[:0], p.texts[0].text...), -1, p.texts[0].stream
	p.texts = p.texts[1:]
	return true
}

// Read implements [Events].
func (p *printed) Read(ctx context.Context, r *Record) error {
	for !p.take(r) {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		select {
		case <-p.wake:
		case <-ctx.Done():
		}
	}
	return nil
}

// Lost implements [Events]: all that is printed waits to be read.
func (*printed) Lost() (uint64, error) { return 0, nil }

// Close implements [Events].
func (*printed) Close() error { return nil }
