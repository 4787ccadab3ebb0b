package vm

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/helper"
	vmmaps "github.com/skep-ebpf/skep/vm/maps"
)

// Collection is programs and maps that belong together, with the shape of
// [ebpf.Collection].
type Collection struct {
	Programs  map[string]*Program
	Maps      map[string]*Map
	Variables map[string]*Variable

	env    *exec.Env // what the programs share
	budget int64
}

// CollectionOptions say how a collection is loaded.
type CollectionOptions struct {
	Programs ProgramOptions
	// MapReplacements are used in place of the spec's maps of these names. They
	// must have the same type, sizes and flags.
	MapReplacements map[string]*Map
}

// NewCollection creates a spec's maps and loads its programs. Only programs of
// types that the machine runs can be loaded; take the others out of the spec.
func NewCollection(spec *ebpf.CollectionSpec) (*Collection, error) {
	return NewCollectionWithOptions(spec, CollectionOptions{})
}

// NewCollectionWithOptions is NewCollection with options.
func NewCollectionWithOptions(spec *ebpf.CollectionSpec, opts CollectionOptions) (*Collection, error) {
	env := new(exec.Env)
	if opts.Programs.Env != nil {
		*env = *opts.Programs.Env
	}
	opts.Programs.Env = env.Defaults() // also one set of timers
	l := newLoader(spec, opts)
	l.coll.env, l.coll.budget = env, opts.Programs.budget()
	for name := range opts.MapReplacements {
		if spec.Maps[name] == nil {
			return nil, fmt.Errorf("replacement map %s: the collection has no map of this name", name)
		}
	}
	if err := l.loadAll(); err != nil {
		l.coll.Close()
		return nil, err
	}
	return l.coll, nil
}

// LoadCollection opens an object file and loads all of it.
func LoadCollection(file string) (*Collection, error) {
	p, err := program.Open(file)
	if err != nil {
		return nil, err
	}
	return NewCollection(p.Spec)
}

// LoadAndAssign loads the maps and programs that the fields of the struct that
// to points to name by their ebpf tags, as [ebpf.CollectionSpec.LoadAndAssign]
// does; the fields are *Program, *Map and *Variable of this package.
func LoadAndAssign(spec *ebpf.CollectionSpec, to any, opts *CollectionOptions) error {
	if opts == nil {
		opts = &CollectionOptions{}
	}
	coll, err := NewCollectionWithOptions(spec, *opts)
	if err != nil {
		return err
	}
	defer coll.Close()
	return coll.Assign(to)
}

// Close closes what the collection still holds.
func (c *Collection) Close() {
	for _, p := range c.Programs {
		p.Close()
	}
	for _, m := range c.Maps {
		m.Close()
	}
}

// DetachMap takes a map out of the collection, so that Close leaves it open; nil
// if there is none of this name.
func (c *Collection) DetachMap(name string) *Map {
	m := c.Maps[name]
	delete(c.Maps, name)
	return m
}

// DetachProgram is DetachMap for programs.
func (c *Collection) DetachProgram(name string) *Program {
	p := c.Programs[name]
	delete(c.Programs, name)
	return p
}

// loader builds a collection. Maps come first; those that hold maps or programs
// are filled last.
type loader struct {
	spec *ebpf.CollectionSpec
	opts CollectionOptions
	coll *Collection
	// data are the maps that linking made, such as .kconfig; programs keep them.
	data map[string]*Map
}

func newLoader(spec *ebpf.CollectionSpec, opts CollectionOptions) *loader {
	return &loader{spec, opts, &Collection{
		Programs:  make(map[string]*Program),
		Maps:      make(map[string]*Map),
		Variables: make(map[string]*Variable),
	}, make(map[string]*Map)}
}

func (l *loader) loadAll() error {
	defer func() {
		for _, m := range l.data {
			m.Close()
		}
	}()
	for _, name := range slices.Sorted(maps.Keys(l.spec.Maps)) {
		if err := l.loadMap(name); err != nil {
			return fmt.Errorf("map %s: %w", name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.spec.Programs)) {
		if err := l.loadProgram(name); err != nil {
			return fmt.Errorf("program %s: %w", name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.spec.Maps)) {
		if err := l.fill(name); err != nil {
			return fmt.Errorf("map %s: %w", name, err)
		}
	}
	for name, v := range l.spec.Variables {
		m := l.coll.Maps[v.SectionName]
		if m == nil {
			return fmt.Errorf("variable %s: there is no map %s", name, v.SectionName)
		}
		l.coll.Variables[name] = newVariable(v, m)
	}
	return nil
}

func (l *loader) loadMap(name string) error {
	spec := l.spec.Maps[name].Copy()
	if r := l.opts.MapReplacements[name]; r != nil {
		if err := compatible(spec, r); err != nil {
			return fmt.Errorf("replacement: %w", err)
		}
		m, err := r.Clone()
		l.coll.Maps[name] = m
		return err
	}
	if err := applyVariables(spec, l.spec.Variables, name); err != nil {
		return err
	}
	if spec.Type == ebpf.StructOpsMap {
		l.likeLinux(spec)
	}
	m, err := newMap(spec)
	if err != nil {
		return err
	}
	l.coll.Maps[name] = m
	if m.holdsObjects() || m.holdsOps() {
		return nil // filled once everything is loaded
	}
	return m.finalize(spec)
}

func (l *loader) loadProgram(name string) error {
	link := l.opts.Programs.Link
	if link.HasKfunc == nil {
		link.HasKfunc = func(name string) bool { return helper.Kfunc(name) != nil }
		link.WhyNoKfunc = func(name string) string { return helper.RefusedKfuncs[name] }
	}
	image, err := program.Link(l.spec, name, &link)
	if err != nil {
		return err
	}
	var objs []*mapObject
	for _, ref := range image.Maps {
		m, err := l.mapFor(image, ref)
		if err != nil {
			return err
		}
		objs = append(objs, m.obj)
	}
	p, err := newProgram(l.spec, image, objs, &l.opts.Programs)
	if err != nil {
		return err
	}
	l.coll.Programs[name] = p
	return nil
}

// mapFor finds a map that an image refers to: the collection's, or one that
// linking made.
func (l *loader) mapFor(image *program.Image, name string) (*Map, error) {
	if m := l.coll.Maps[name]; m != nil {
		return m, nil
	}
	if m := l.data[name]; m != nil {
		return m, nil
	}
	spec := image.Data[name]
	if spec == nil {
		return nil, fmt.Errorf("it refers to map %s, which the collection does not have", name)
	}
	m, err := NewMap(spec)
	if err != nil {
		return nil, err
	}
	l.data[name] = m
	return m, nil
}

// fill puts the initial maps and programs into a map that holds such. The spec
// names them.
func (l *loader) fill(name string) error {
	m := l.coll.Maps[name]
	if m.holdsOps() {
		return l.fillOps(name)
	}
	if !m.holdsObjects() || l.opts.MapReplacements[name] != nil {
		return nil
	}
	for _, kv := range l.spec.Maps[name].Contents {
		value := kv.Value
		if ref, ok := value.(string); ok {
			if m.holdsMaps() {
				value = l.coll.Maps[ref]
			} else {
				value = l.coll.Programs[ref]
			}
			if value == (*Map)(nil) || value == (*Program)(nil) {
				return fmt.Errorf("its initial value of key %v is %s, which the collection does not have", kv.Key, ref)
			}
		}
		if err := m.Put(kv.Key, value); err != nil {
			return fmt.Errorf("initial value of key %v: %w", kv.Key, err)
		}
	}
	return nil
}

// compatible says why m cannot stand in for what spec describes.
func compatible(spec *ebpf.MapSpec, m *Map) error {
	spec, err := completed(spec)
	if err != nil {
		return err
	}
	var diffs []string
	differ := func(what string, have, want any) {
		if have != want {
			diffs = append(diffs, fmt.Sprintf("%s is %v, not %v", what, have, want))
		}
	}
	differ("type", m.Type(), spec.Type)
	differ("key size", m.KeySize(), spec.KeySize)
	differ("value size", m.ValueSize(), spec.ValueSize)
	differ("max entries", m.MaxEntries(), spec.MaxEntries)
	flags := spec.Flags
	if spec.Type == ebpf.DevMap || spec.Type == ebpf.DevMapHash {
		flags |= vmmaps.FlagRdonlyProg // which these maps add
	}
	differ("flags", m.Flags(), flags)
	if diffs != nil {
		return fmt.Errorf("%s: %w", strings.Join(diffs, ", "), ebpf.ErrMapIncompatible)
	}
	return nil
}

// constantData reports whether a map of this name is frozen once it is filled.
func constantData(name string) bool {
	for _, prefix := range []string{".rodata", ".kconfig", ".jumptables"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

var errNoDataSection = errors.New("it is no data section, so it has no variables")
