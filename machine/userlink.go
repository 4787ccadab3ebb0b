package machine

import (
	"fmt"
	"io"
	"sync"

	"github.com/skep-ebpf/skep/hook"
)

// userLink is a program that is attached in skep's own machine.
type userLink struct {
	point  hook.Point
	detach func() error                  // nil: there is nothing to do
	output func() (io.ReadCloser, error) // nil: it is no iterator
	once   sync.Once
}

// Point implements [Link].
func (l *userLink) Point() hook.Point { return l.point }

// Instead implements [Link].
func (l *userLink) Instead() string { return "" }

// Close implements [Link].
func (l *userLink) Close() (err error) {
	l.once.Do(func() {
		if l.detach != nil {
			err = l.detach()
		}
	})
	return err
}

// Output implements [Link].
func (l *userLink) Output() (io.ReadCloser, error) {
	if l.output == nil {
		return nil, fmt.Errorf("%s is no iterator: only these have output", l.point)
	}
	return l.output()
}
