package kernel

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/program"
)

// Options say how an object is loaded.
type Options struct {
	Programs []string // those that are wanted, with what they refer to; none: all
	Link     program.LinkOptions
	// At are points at which programs will be attached, where these are others than
	// their sections name: some programs are loaded for their target.
	At []hook.Attachment
	// Maps take the place of the object's maps of these names. They stay the
	// caller's.
	Maps map[string]*ebpf.Map
	// Watch says that what programs send and print will be read: they are changed so
	// that it can be, and that what finds no room is counted.
	Watch bool
	// Log is written to what the kernel's verifier says of each program, refused or not.
	// Optional.
	Log io.Writer
}

// Collection is a loaded object. Nothing is attached yet.
type Collection struct {
	Spec *ebpf.CollectionSpec // what was loaded
	*ebpf.Collection
	watch *watch // nil: programs run as they are
	name  string // of the object, for messages
	needs []Need
	links []*Link
	// operations are the structures of operations that are attached, by their names.
	operations map[string]*operations
	// usdtSpecs are the numbers of the descriptions that programs have of probes'
	// arguments.
	usdtSpecs map[string]uint32
}

// Load puts an object's programs and maps into the kernel, all or none. A program that
// its verifier refuses is a [*verifier.Error].
func Load(p *program.Program, opts *Options) (*Collection, error) {
	if err := errors.Join(hook.Together(opts.At), checkToken()); err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	names := opts.Programs
	if len(names) == 0 {
		names = slices.Sorted(maps.Keys(p.Spec.Programs))
	}
	exts, err := extensions(p.Spec, names, opts.At)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	for _, e := range exts {
		if e.program != "" {
			names = append(slices.Clip(names), e.program)
		}
	}
	spec, err := program.Subset(p.Spec, names...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	spec = changeable(spec)
	if err := program.ResolveKconfig(spec, &opts.Link); err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	if err := prepareMaps(spec); err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	if err := aim(spec, opts.At, opts.Link); err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	raiseMemoryLimit()
	needs := Needs(spec, opts.At)
	coll, watch, err := opts.load(spec, func(spec *ebpf.CollectionSpec, opts *Options) (*ebpf.Collection, error) {
		return loadAll(spec, opts, exts, needs)
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	return &Collection{Spec: spec, Collection: coll, watch: watch, name: p.Name, needs: needs, usdtSpecs: make(map[string]uint32)}, nil
}

// changeable copies a spec, which the kernel may ask to change. Its types stay the same:
// they are numbered by where they are.
func changeable(spec *ebpf.CollectionSpec) *ebpf.CollectionSpec {
	own := spec.Copy()
	own.Types = spec.Types
	for name, m := range own.Maps {
		m.Key, m.Value = spec.Maps[name].Key, spec.Maps[name].Value
	}
	return own
}

// loadAll loads a spec's programs, and then those that take the place of functions.
func loadAll(spec *ebpf.CollectionSpec, opts *Options, exts []extension, needs []Need) (*ebpf.Collection, error) {
	first := *spec
	first.Programs = maps.Clone(spec.Programs)
	for _, e := range exts {
		delete(first.Programs, e.name)
	}
	own, err := ownOf(&first, opts.Maps)
	if err != nil {
		return nil, err
	}
	own.leaveTo(&first)
	numberKfuncs(&first)
	coll, err := ebpf.NewCollectionWithOptions(&first, opts.collection(&first))
	if err == nil {
		if err = own.load(coll, spec, opts); err != nil {
			coll.Close()
		}
	}
	logErr := writeLog(opts.Log, coll, err)
	if err != nil {
		return nil, errors.Join(explain(spec, opts.Link, needs, err), logErr)
	}
	for _, e := range exts {
		logErr = errors.Join(logErr, e.load(coll, spec, opts, needs))
	}
	if logErr != nil {
		coll.Close()
		return nil, logErr
	}
	return coll, nil
}

// collection is how cilium/ebpf loads a spec.
func (o *Options) collection(spec *ebpf.CollectionSpec) ebpf.CollectionOptions {
	all := ebpf.CollectionOptions{Cache: runningTypes, MapReplacements: o.Maps}
	all.Programs.KernelTypes = o.Link.KernelTypes
	if o.Link.NoHostTypes && o.Link.KernelTypes == nil {
		all.Programs.KernelTypes = spec.Types
	}
	if o.Log != nil {
		all.Programs.LogLevel = ebpf.LogLevelBranch
	}
	return all
}

// writeLog writes what the kernel's verifier said of the programs of a collection, or of
// the one that it refused; w may be nil.
func writeLog(w io.Writer, coll *ebpf.Collection, refused error) error {
	var said *ebpf.VerifierError
	switch {
	case w == nil:
		return nil
	case errors.As(refused, &said):
		_, err := fmt.Fprintln(w, strings.Join(said.Log, "\n"))
		return err
	case refused != nil:
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(coll.Programs)) {
		if _, err := fmt.Fprintf(w, "program %s:\n%s\n", name, strings.TrimSpace(coll.Programs[name].VerifierLog)); err != nil {
			return err
		}
	}
	return nil
}

// prepareMaps has maps be the object's own, whatever loaders of other projects are told of
// them: to pin them under their names, or numbers by which iproute2 knows them.
func prepareMaps(spec *ebpf.CollectionSpec) error {
	for name, m := range spec.Maps {
		if m.InnerMap == nil && (m.Type == ebpf.ArrayOfMaps || m.Type == ebpf.HashOfMaps) {
			return fmt.Errorf("map %s holds maps, and the object does not say what they are like: declare them with __array(values, struct ...)", name)
		}
		for ; m != nil; m = m.InnerMap {
			m.Pinning, m.Extra = ebpf.PinNone, nil
		}
	}
	return nil
}

// aim has programs loaded for the points at which they will be attached, and looks for
// what programs are loaded for.
func aim(spec *ebpf.CollectionSpec, at []hook.Attachment, link program.LinkOptions) error {
	points := make(map[string]hook.Point)
	for _, a := range at {
		points[a.Program] = a.Point
		if p := spec.Programs[a.Program]; p != nil {
			to := loadedFor(p, a.Point)
			a.Point.Aim(p)
			p.AttachTo = to
			if err := offload(p, a.Point); err != nil {
				return fmt.Errorf("program %s: %w", a.Program, err)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Programs)) {
		point, chosen := points[name]
		if !chosen {
			var err error
			if point, err = hook.Of(spec.Programs[name]); err != nil || point.Kind.Prog != spec.Programs[name].Type {
				continue // the kernel says what it thinks of it
			}
			point.Target = spec.Programs[name].AttachTo
		}
		aimUprobe(spec.Programs[name], point)
		if replaced, err := fallBack(spec, name, point, link); err != nil {
			return fmt.Errorf("program %s: %w", name, err)
		} else if replaced {
			continue
		}
		if err := checkTarget(point); err != nil {
			return fmt.Errorf("program %s: %w", name, err)
		}
	}
	return nil
}

// loadedFor is what a program is loaded for to be attached at a point.
func loadedFor(p *ebpf.ProgramSpec, at hook.Point) string {
	switch at.Kind.Name {
	case "struct_ops": // the structure says, and the point need not
		return p.AttachTo
	case "lsm_cgroup":
		name, _ := lsmCgroupTarget(at)
		return cmp.Or(name, p.AttachTo)
	}
	return at.Target
}

// lsmCgroupTarget takes a point apart: HOOK:PATH, or one of both.
func lsmCgroupTarget(at hook.Point) (name, dir string) {
	if strings.HasPrefix(at.Target, "/") {
		return "", at.Target
	}
	name, dir, _ = strings.Cut(at.Target, ":")
	return name, dir
}

// mapNames are the names of the object's maps.
func (c *Collection) mapNames() []string { return slices.Collect(maps.Keys(c.Maps)) }

// Detach detaches what is attached, the last one first. Maps stay, and what they hold
// can still be read.
func (c *Collection) Detach() error {
	var errs []error
	for _, l := range slices.Backward(c.links) {
		errs = append(errs, l.Close())
	}
	c.links = nil
	return errors.Join(errs...)
}

// Close detaches what is attached, and unloads everything that is not pinned.
func (c *Collection) Close() error {
	err := c.Detach()
	c.watch.close()
	c.Collection.Close()
	return err
}
