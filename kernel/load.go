package kernel

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/program"
)

// Options say how an object is loaded.
type Options struct {
	Programs []string // those that are wanted, with what they refer to; none: all
	Link     program.LinkOptions
	// Maps take the place of the object's maps of these names. They stay the
	// caller's.
	Maps map[string]*ebpf.Map
}

// Collection is a loaded object. Nothing is attached yet.
type Collection struct {
	Spec *ebpf.CollectionSpec // what was loaded
	*ebpf.Collection
	name  string // of the object, for messages
	links []*Link
}

// Load puts an object's programs and maps into the kernel, all or none.
func Load(p *program.Program, opts *Options) (*Collection, error) {
	names := opts.Programs
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(p.Spec.Programs))
	}
	spec, err := program.Subset(p.Spec, names...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{
		Programs:        ebpf.ProgramOptions{KernelTypes: opts.Link.KernelTypes},
		MapReplacements: opts.Maps,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, explain(err))
	}
	return &Collection{Spec: spec, Collection: coll, name: p.Name}, nil
}

// Close detaches what is attached, the last one first, and unloads everything that
// is not pinned.
func (c *Collection) Close() error {
	var errs []error
	for _, l := range slices.Backward(c.links) {
		errs = append(errs, l.Close())
	}
	c.links = nil
	c.Collection.Close()
	return errors.Join(errs...)
}
