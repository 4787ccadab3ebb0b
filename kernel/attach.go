package kernel

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/suggest"
)

// Link is an attached program.
type Link struct {
	program string
	at      hook.Point
	closer  io.Closer
	instead string
	once    sync.Once
}

// Point is where the program is attached.
func (l *Link) Point() hook.Point { return l.at }

// Instead says how the program is attached where this kernel cannot as its point says:
// "by single probes (12), as ..."; otherwise it is "".
func (l *Link) Instead() string { return l.instead }

// Close detaches the program. It may be called again, and does nothing then.
func (l *Link) Close() (err error) {
	l.once.Do(func() { err = l.closer.Close() })
	return err
}

// Output runs an iterator and gives what it writes; an error where the link is none.
func (l *Link) Output() (io.ReadCloser, error) {
	it, ok := l.closer.(interface{ Open() (io.ReadCloser, error) })
	if !ok {
		return nil, fmt.Errorf("%s is no iterator: only these have output", l.at)
	}
	return it.Open()
}

// Attach attaches programs at points, all or none. Points are looked at before
// anything is attached, so that a name that does not exist leaves no trace.
func (c *Collection) Attach(at []hook.Attachment) ([]*Link, error) {
	attach := make([]func() (io.Closer, error), len(at))
	for i, a := range at {
		var err error
		if attach[i], err = c.plan(a); err != nil {
			if missing := lacking(err, Needs(&ebpf.CollectionSpec{}, at[i:i+1])); missing != nil {
				err = missing
			}
			return nil, fmt.Errorf("%s: program %s: %w", c.name, a.Program, err)
		}
	}
	var links []*Link
	for i := range at {
		closer, err := attach[i]()
		if err != nil {
			err = denied(err, Needs(&ebpf.CollectionSpec{}, at[i:i+1]))
			err = fmt.Errorf("%s: attach program %s to %s: %w", c.name, at[i].Program, at[i].Point, err)
			for _, l := range links {
				err = errors.Join(err, l.Close())
			}
			return nil, err
		}
		l := &Link{program: at[i].Program, at: at[i].Point, closer: closer}
		if o, ok := closer.(otherwise); ok {
			l.closer, l.instead = o.Closer, o.how
		}
		links = append(links, l)
	}
	c.links = append(c.links, links...)
	return links, nil
}

// A family plans attachments of some kinds of hooks: it finds the target, says what does
// not exist, and gives what attaches.
type family func(c *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error)

// families are those of each kind of hooks, by its name. Each family is a file.
var families = map[string]family{}

func (c *Collection) plan(a hook.Attachment) (func() (io.Closer, error), error) {
	prog := c.Programs[a.Program]
	if prog == nil {
		return nil, fmt.Errorf("the object has no program of this name")
	}
	f := families[a.Point.Kind.Name]
	switch {
	case f == nil:
		return nil, fmt.Errorf("%s: the kernel machine attaches no such programs%s", a.Point, suggest.Name(a.Point.Kind.Name, kindNames()))
	case a.Point.Target == "" && !a.Point.Kind.Optional:
		return nil, needsTarget(a.Point.Kind)
	}
	return f(c, prog, a.Point)
}

// needsTarget says what is missing behind the name of a kind of hooks.
func needsTarget(k *hook.Kind) error {
	return fmt.Errorf("%s needs %s: say it with --hook, such as --hook %s", k.Name, k.Wants, k.Example)
}

// Attaches reports whether Linux, as skep drives it here, has hooks of a kind.
func Attaches(k *hook.Kind) bool { return families[k.Name] != nil }

func kindNames() (names []string) {
	for name := range families {
		names = append(names, name)
	}
	return names
}

// otherwise is what attaches a program in another way than its point says.
type otherwise struct {
	io.Closer
	how string
}

// closers are closed from the last to the first.
type closers []io.Closer

func (all closers) Close() error {
	var errs []error
	for _, c := range slices.Backward(all) {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
