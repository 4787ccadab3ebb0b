package kernel

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/program"
)

// Replace puts an object's programs in the place of those that are pinned under a name,
// without a moment at which none is attached. Maps of the same name stay as they are, but
// for constants and tables of programs. It gives what is attached.
//
// Each link changes at once, several one after the other. When one cannot, all go back.
//
// Of the options, those that say which programs are loaded, for which points, and with
// which maps are those of what is pinned.
func (p *Pins) Replace(name string, object *program.Program, loading *Options) (at []hook.Attachment, err error) {
	err = p.change(func() error {
		if err := p.known(name); err != nil {
			return err
		}
		old, err := p.read(name)
		if err != nil {
			return err
		}
		opts := Options{Link: loading.Link, Log: loading.Log}
		if opts.At, err = updatable(name, old.Links); err != nil {
			return err
		}
		for _, a := range opts.At {
			opts.Programs = append(opts.Programs, a.Program)
		}
		at = opts.At
		opts.Maps, err = p.keptMaps(name, old, object, opts.Programs)
		defer func() {
			for _, m := range opts.Maps {
				m.Close()
			}
		}()
		if err != nil {
			return fmt.Errorf("%s cannot replace %s: %w", object.Name, name, err)
		}
		c, err := Load(object, &opts)
		if err != nil {
			return err
		}
		return errors.Join(p.swap(name, c), c.Close())
	})
	return at, err
}

// updatable gives what links attach, where Linux can change their programs.
func updatable(name string, links []PinnedLink) (at []hook.Attachment, err error) {
	for _, l := range links {
		point, err := hook.Parse(l.At)
		if err != nil {
			return nil, err
		}
		kind := point.Kind.Name
		switch {
		case kind == "xdp", point.Kind.InMap():
		case slices.Contains([]string{"clsact", "socket", "sockops", "flow_dissector"}, kind):
		case strings.HasPrefix(kind, "sk_"), strings.HasPrefix(kind, "lwt_"):
		case strings.HasPrefix(kind, "cgroup"), strings.HasPrefix(kind, "tcx/"), strings.HasPrefix(kind, "netkit/"):
		default:
			return nil, fmt.Errorf("program %s at %s cannot be replaced: Linux changes the programs of XDP, tcx, clsact, netkit, cgroups, network namespaces, sockets and routes alone; end it with 'skep stop %s', and run the new one", l.Program, l.At, name)
		}
		at = append(at, hook.Attachment{Program: l.Program, Point: point})
	}
	return at, nil
}

// keptMaps opens the pinned maps that an object's programs go on with. An error says what
// of them has changed.
func (p *Pins) keptMaps(name string, old *Pinned, object *program.Program, programs []string) (map[string]*ebpf.Map, error) {
	spec, err := program.Subset(object.Spec, programs...)
	if err != nil {
		return nil, err
	}
	kept := make(map[string]*ebpf.Map)
	var errs []error
	for _, mapName := range old.Maps {
		s := spec.Maps[mapName]
		if s == nil || strings.HasPrefix(mapName, ".rodata") || strings.HasPrefix(mapName, ".kconfig") || s.Type == ebpf.ProgramArray {
			continue
		}
		m, err := p.openMap(name, mapName)
		if err != nil {
			return kept, err
		}
		kept[mapName] = m.Map
		if what := changed(m, s); what != "" {
			errs = append(errs, fmt.Errorf("map %s has another %s", mapName, what))
		}
	}
	for _, l := range old.Links {
		at, err := hook.Parse(l.At)
		if err != nil || !at.Kind.InMap() {
			continue
		}
		if e, err := at.Entry(); err == nil && kept[e.Map] == nil {
			errs = append(errs, fmt.Errorf("program %s is in map %s, which it does not have", l.Program, e.Map))
		}
	}
	if len(errs) > 0 {
		errs = append(errs, fmt.Errorf("what it holds would be lost: end the old one with 'skep stop %s' if it may be", name))
	}
	return kept, joined(errs)
}

// joined makes one sentence of several errors.
func joined(errs []error) error {
	var text []string
	for _, err := range errs {
		text = append(text, err.Error())
	}
	if text == nil {
		return nil
	}
	return errors.New(strings.Join(text, ", "))
}

// changed says what of a map is another than its specification's, if anything is. Flags are
// compared where it is put to use.
func changed(m *PinnedMap, s *ebpf.MapSpec) string {
	switch {
	case m.Type() != s.Type:
		return fmt.Sprintf("type (%s, now %s)", m.Type(), s.Type)
	case m.KeySize() != s.KeySize:
		return fmt.Sprintf("size of keys (%d bytes, now %d)", m.KeySize(), s.KeySize)
	case m.ValueSize() != s.ValueSize && s.ValueSize != 0:
		return fmt.Sprintf("size of values (%d bytes, now %d)", m.ValueSize(), s.ValueSize)
	case m.MaxEntries() != s.MaxEntries && s.MaxEntries != 0 && !oneEach(m, s):
		return fmt.Sprintf("number of entries (%d, now %d)", m.MaxEntries(), s.MaxEntries)
	case !sameLayout(m.Key, s.Key, 0):
		return "layout of keys"
	case !sameLayout(m.Value, s.Value, 0):
		return "layout of values"
	}
	return ""
}

// oneEach reports whether a map has an entry for each CPU, and no more because there are
// no more CPUs.
func oneEach(m *PinnedMap, s *ebpf.MapSpec) bool {
	cpus, err := ebpf.PossibleCPU()
	return err == nil && (m.Type() == ebpf.CPUMap || m.Type() == ebpf.PerfEventArray) &&
		m.MaxEntries() == uint32(cpus) && s.MaxEntries > m.MaxEntries()
}

// swap puts a collection in the place of what is pinned.
func (p *Pins) swap(name string, c *Collection) error {
	other := p.path(unfinished + name)
	err := c.pin(other)
	if err == nil {
		err = p.shareLinks(name)
	}
	if err == nil {
		err = p.exchange(name)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%s: pin %s: %w", c.name, name, err), removePins(other))
	}
	if err := p.settle(name); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

// settle ends a replacement once both objects are pinned: links come to run the programs
// beside them, and the other object is removed. When one cannot, the other comes back.
func (p *Pins) settle(name string) error {
	here, other := p.path(name), p.path(unfinished+name)
	links := filepath.Join(here, "links")
	if err := update(links, filepath.Join(here, "progs")); err != nil {
		back := update(links, filepath.Join(other, "progs"))
		return errors.Join(fmt.Errorf("replace %s: %w", name, err), back, p.exchange(name), removePins(other))
	}
	return removePins(other)
}

// shareLinks gives the links of a pinned object to the one that will take its place.
func (p *Pins) shareLinks(name string) error {
	files, err := p.files(name, "links")
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := os.Link(p.path(name, "links", file), p.path(unfinished+name, "links", file)); err != nil {
			return err
		}
	}
	return nil
}

// update has each link in a directory run the program of its name in another.
func update(links, progs string) error {
	files, err := os.ReadDir(links)
	if err != nil {
		return err
	}
	for _, file := range files {
		name, at, err := linkOf(file.Name())
		if err != nil {
			return err
		}
		if err := updateLink(filepath.Join(links, file.Name()), filepath.Join(progs, escape(name))); err != nil {
			return fmt.Errorf("program %s at %s: %w", name, at, err)
		}
	}
	return nil
}

func updateLink(linkPin, progPin string) error {
	l, err := openPinned(linkPin)
	if err != nil {
		return err
	}
	defer l.Close()
	prog, err := ebpf.LoadPinnedProgram(progPin, nil)
	if err != nil {
		return err
	}
	defer prog.Close()
	return l.Update(prog)
}
