package kernel

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/suggest"
)

// BPFFS is where the file system of pinned objects is mounted on most systems.
const BPFFS = "/sys/fs/bpf"

// Pins are objects that stay attached when skep has ended. Each has a name, which is a
// directory in bpffs:
//
//	NAME/links/PROGRAM@POINT     what attaches a program; #2, #3 where that takes several
//	NAME/progs/PROGRAM
//	NAME/maps/MAP
//
// What bpffs does not allow in names is escaped, as %2F for a slash. A directory whose
// name begins with + is not finished, or not quite removed; it is beside the one that it
// takes the place of, or took.
type Pins struct{ dir string }

// PinsIn gives the pins in a bpffs.
func PinsIn(bpffs string) *Pins { return &Pins{filepath.Join(bpffs, "skep")} }

// What the names of directories begin with that are not, or no longer, what is pinned under
// the rest of the name.
const (
	unfinished = "+"
	aside      = "-" // while two directories change places
)

// Pinned is a pinned object.
type Pinned struct {
	Name  string
	Since time.Time
	Links []PinnedLink
	Maps  []string
}

// PinnedLink is a program of a pinned object, and where it is attached.
type PinnedLink struct {
	Program, At string
	// Runs and Time are how often the program ran and for how long, where the kernel
	// counts (sysctl kernel.bpf_stats_enabled).
	Runs uint64
	Time time.Duration
}

// ends says whether nothing stays attached at a point when the process ends.
func ends(at hook.Point) bool {
	switch at.Kind.Name {
	case "socket": // one of skep's own, where the target is an interface
		return !strings.Contains(at.Target, ":")
	case "syscall", "timer":
		return true
	}
	return false
}

// Check says why attachments could not be pinned under a name, if nothing is wrong with
// them otherwise.
func (p *Pins) Check(name string, at []hook.Attachment) error {
	for _, a := range at {
		if ends(a.Point) {
			return fmt.Errorf("program %s at %s cannot be pinned: it is attached there only as long as skep runs", a.Program, a.Point)
		}
	}
	return p.change(func() error { return p.free(name) })
}

// Pin has what is attached stay so under a name, all or nothing. The collection may be
// closed then.
func (p *Pins) Pin(name string, c *Collection) error {
	return p.change(func() error {
		if err := p.free(name); err != nil {
			return err
		}
		dir := p.path(unfinished + name)
		if err := c.pin(dir); err != nil {
			return errors.Join(fmt.Errorf("%s: pin %s: %w", c.name, name, err), removePins(dir))
		}
		return os.Rename(dir, p.path(name))
	})
}

// pin makes pins of everything in a collection. Links come last: nothing stays attached
// by itself before.
func (c *Collection) pin(dir string) error {
	for _, sub := range []string{"maps", "progs", "links"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Maps)) {
		if err := c.Maps[name].Pin(filepath.Join(dir, "maps", escape(name))); err != nil {
			return fmt.Errorf("map %s: %w", name, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Programs)) {
		if err := c.Programs[name].Pin(filepath.Join(dir, "progs", escape(name))); err != nil {
			return fmt.Errorf("program %s: %w", name, err)
		}
	}
	for _, l := range c.links {
		if err := l.pin(filepath.Join(dir, "links")); err != nil {
			return fmt.Errorf("program %s at %s: %w", l.program, l.at, err)
		}
	}
	return nil
}

// pin pins what attaches a program: a link, or several.
func (l *Link) pin(dir string) error {
	type pinner interface{ Pin(path string) error }
	parts := []pinner{}
	if all, ok := l.closer.(closers); ok {
		for _, c := range all {
			if one, ok := c.(pinner); ok {
				parts = append(parts, one)
			}
		}
	} else if one, ok := l.closer.(pinner); ok {
		parts = append(parts, one)
	}
	if len(parts) == 0 {
		return errors.New("it is attached without a link of the kernel, and only as long as skep runs")
	}
	name := escape(l.program) + "@" + escape(l.at.String())
	for i, one := range parts {
		file := name
		if i > 0 {
			file = fmt.Sprintf("%s#%d", name, i+1)
		}
		if len(file) > maxName {
			return fmt.Errorf("the name of its pin would be longer than the %d bytes that a file's name may have: %s", maxName, file)
		}
		if err := one.Pin(filepath.Join(dir, file)); err != nil {
			return err
		}
	}
	return nil
}

// maxName is NAME_MAX.
const maxName = 255

// List gives all that is pinned, in the order of their names.
func (p *Pins) List() (all []*Pinned, err error) {
	err = p.change(func() error {
		names, err := p.names()
		for _, name := range names {
			one, err := p.read(name)
			if err != nil {
				return fmt.Errorf("read pins of %s: %w", name, err)
			}
			all = append(all, one)
		}
		return err
	})
	return all, err
}

// read looks at what is pinned under a name.
func (p *Pins) read(name string) (*Pinned, error) {
	info, err := os.Stat(p.path(name))
	if err != nil {
		return nil, err
	}
	out := &Pinned{Name: name, Since: info.ModTime()}
	if out.Maps, err = p.mapNames(name); err != nil {
		return nil, err
	}
	links, err := p.files(name, "links")
	if err != nil {
		return nil, err
	}
	for _, file := range links {
		if strings.Contains(file, "#") {
			continue // a part of another
		}
		l, err := p.readLink(name, file)
		if err != nil {
			return nil, err
		}
		out.Links = append(out.Links, l)
	}
	return out, nil
}

func (p *Pins) readLink(name, file string) (l PinnedLink, err error) {
	if l.Program, l.At, err = linkOf(file); err != nil {
		return l, err
	}
	prog, err := ebpf.LoadPinnedProgram(p.path(name, "progs", escape(l.Program)), nil)
	if err != nil {
		return l, err
	}
	defer prog.Close()
	stats, err := prog.Stats()
	if err != nil {
		return l, err
	}
	l.Runs, l.Time = stats.RunCount, stats.Runtime
	return l, nil
}

// linkOf says what the name of a link's pin does: the program, and where it is attached.
func linkOf(file string) (program, at string, err error) {
	file, _, _ = strings.Cut(file, "#")
	program, at, _ = strings.Cut(file, "@")
	if program, err = url.PathUnescape(program); err != nil {
		return "", "", err
	}
	at, err = url.PathUnescape(at)
	return program, at, err
}

// Stop detaches what is pinned under a name, and removes it.
func (p *Pins) Stop(name string) error {
	return p.change(func() error {
		if err := p.known(name); err != nil {
			return err
		}
		dir := p.path(unfinished + name)
		if err := os.Rename(p.path(name), dir); err != nil {
			return err
		}
		return removePins(dir)
	})
}

// change does something while no other skep does, and after what others have left that
// were killed is finished.
func (p *Pins) change(do func() error) error {
	unlock, err := lockPins(p.dir)
	if err != nil {
		return err
	}
	defer unlock()
	if err := p.finishExchanges(); err != nil {
		return err
	}
	names, err := p.files()
	if err != nil {
		return err
	}
	for _, name := range names {
		left, ok := strings.CutPrefix(name, unfinished)
		switch {
		case !ok:
		case slices.Contains(names, left):
			err = p.settle(left) // it was being replaced
		default:
			err = removePins(p.path(name))
		}
		if err != nil {
			return err
		}
	}
	return do()
}

// exchange has what is pinned under a name and what is unfinished change places: at once,
// and before Linux 5.17 in steps.
func (p *Pins) exchange(name string) error {
	here, other := p.path(name), p.path(unfinished+name)
	err := exchange(here, other)
	if errors.Is(err, errNoExchange) {
		err = os.Rename(here, p.path(aside+name))
		if err == nil {
			err = errors.Join(os.Rename(other, here), p.finishExchange(name))
		}
	}
	if err != nil {
		return fmt.Errorf("exchange %s and %s: %w", here, other, err)
	}
	return nil
}

// finishExchange puts what is aside where it belongs: to its old place, or where that is
// taken already, to the other's.
func (p *Pins) finishExchange(name string) error {
	to := p.path(name)
	if _, err := os.Stat(to); err == nil {
		to = p.path(unfinished + name)
	}
	return os.Rename(p.path(aside+name), to)
}

// finishExchanges finishes those of a skep that was killed meanwhile.
func (p *Pins) finishExchanges() error {
	names, err := p.files()
	if err != nil {
		return err
	}
	for _, name := range names {
		if name, ok := strings.CutPrefix(name, aside); ok {
			if err := p.finishExchange(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// pinnedLink is what is pinned of an attached program: a link of the kernel, or what serves
// as one.
type pinnedLink interface {
	Update(*ebpf.Program) error
	// remove removes the pin. What has no other pin is detached then, or by Close.
	remove() error
	Close() error
}

// removePins detaches and removes what is pinned in a directory. A link whose pin alone is
// removed is detached some time later, one that is closed at once.
func removePins(dir string) error {
	links, err := os.ReadDir(filepath.Join(dir, "links"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, file := range links {
		path := filepath.Join(dir, "links", file.Name())
		l, err := openPinned(path)
		if err != nil {
			return err
		}
		if err := errors.Join(l.remove(), l.Close()); err != nil {
			return err
		}
	}
	return os.RemoveAll(dir)
}

var goodName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{0,63}$`)

// free says why a name cannot be given to something new.
func (p *Pins) free(name string) error {
	if !goodName.MatchString(name) {
		return fmt.Errorf("name %q: want letters, digits, - and _, at most 64, and a letter or a digit first", name)
	}
	if _, err := os.Stat(p.path(name)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	there, err := p.read(name)
	if err != nil {
		return fmt.Errorf("name %s is taken, by what cannot be read: %w", name, err)
	}
	var what []string
	for _, l := range there.Links {
		what = append(what, fmt.Sprintf("%s at %s", l.Program, l.At))
	}
	return fmt.Errorf("name %s is taken, by %s: end that with 'skep stop %s', or take another name", name, cmp.Or(strings.Join(what, ", "), "nothing that is attached"), name)
}

// known says that nothing is pinned under a name, if so.
func (p *Pins) known(name string) error {
	names, err := p.names()
	if err != nil {
		return err
	}
	if !slices.Contains(names, name) {
		return fmt.Errorf("nothing is pinned as %s%s", name, suggest.Name(name, names))
	}
	return nil
}

// names are the names under which something is pinned.
func (p *Pins) names() ([]string, error) {
	all, err := p.files()
	return slices.DeleteFunc(all, func(name string) bool { return strings.HasPrefix(name, unfinished) }), err
}

// files are the names in a directory of bpffs, as they are there.
func (p *Pins) files(dir ...string) (names []string, err error) {
	all, err := os.ReadDir(p.path(dir...))
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names, err
}

func (p *Pins) path(names ...string) string {
	return filepath.Join(append([]string{p.dir}, names...)...)
}

// escape makes a name that bpffs allows: it has neither slashes nor dots, and none of the
// signs that have a meaning in names of pins.
func escape(name string) string {
	var out strings.Builder
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("_-+:*,", c) >= 0:
			out.WriteByte(c)
		default:
			fmt.Fprintf(&out, "%%%02X", c)
		}
	}
	return out.String()
}
