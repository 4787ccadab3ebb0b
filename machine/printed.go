package machine

import (
	"context"
	"sync"
)

// Printed implements [Collection].
func (c *UserCollection) Printed() (Events, error) { return c.printed, nil }

// Unseen implements [Collection]: nothing escapes skep's own machine.
func (c *UserCollection) Unseen() []string { return nil }

// printed is what programs of skep's own machine printed and nobody has read yet.
type printed struct {
	wake chan struct{} // holds one where there may be texts

	mu    sync.Mutex // protects following
	texts []string
}

func newPrinted() *printed { return &printed{wake: make(chan struct{}, 1)} }

// add takes one text of bpf_printk.
func (p *printed) add(text string) {
	p.mu.Lock()
	p.texts = append(p.texts, text)
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
	r.Data, r.CPU = append(r.Data[:0], p.texts[0]...), -1
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
