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
	detach func()
	output func() (io.ReadCloser, error) // nil: it is no iterator
	once   sync.Once
}

// Point implements [Link].
func (l *userLink) Point() hook.Point { return l.point }

// Instead implements [Link].
func (l *userLink) Instead() string { return "" }

// Close implements [Link].
func (l *userLink) Close() error {
	l.once.Do(l.detach)
	return nil
}

// Output implements [Link].
func (l *userLink) Output() (io.ReadCloser, error) {
	if l.output == nil {
		return nil, fmt.Errorf("%s is no iterator: only these have output", l.point)
	}
	return l.output()
}
