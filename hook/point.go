package hook

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/suggest"
)

// Point is a place where a program is attached.
type Point struct {
	Kind   *Kind
	Target string // what of that kind: a function, an interface, a path; may be empty
}

// String is the point as a section would name it.
func (p Point) String() string {
	if p.Target == "" {
		return p.Kind.Name
	}
	return p.Kind.Name + "/" + p.Target
}

// sleepable is BPF_F_SLEEPABLE.
const sleepable = 1 << 4

// Aim makes a program one for the point: its type, what it is loaded for, and that it may
// sleep where Linux takes no others.
func (p Point) Aim(prog *ebpf.ProgramSpec) {
	prog.Type, prog.AttachType, prog.AttachTo = p.Kind.Prog, p.Kind.Attach, p.Target
	if prog.Type == ebpf.Syscall {
		prog.Flags |= sleepable
	}
}

// Attachment is a program at a point.
type Attachment struct {
	Program string
	Point   Point
}

// Together says which program cannot be loaded for all the points where it is to be
// attached: Linux loads some for one target, and each for one kind of hooks.
func Together(all []Attachment) error {
	first := make(map[string]Point)
	for _, a := range all {
		if p, more := first[a.Program]; more && (p.Kind != a.Point.Kind || p.Kind.forTarget()) {
			return fmt.Errorf("program %s is loaded for %s: what is attached to both are two programs", a.Program, p)
		} else if !more {
			first[a.Program] = a.Point
		}
	}
	return nil
}

// Kind is a kind of hooks.
type Kind struct {
	Name    string   // as sections begin: "kprobe"
	Aliases []string // other beginnings that mean the same
	// Prog is the type of the programs that are attached there, and Attach what
	// they are loaded for.
	Prog   ebpf.ProgramType
	Attach ebpf.AttachType
	// Wants says what the target is, for a person: "a kernel function"; "" where there
	// is none.
	Wants string
	// Optional says that a program may be attached without a target: to all, or to
	// what is obvious.
	Optional bool
	// Example is a point of this kind.
	Example string
}

// sameContext are program types that see the same context, and so can be attached at one
// another's hooks.
var sameContext = [][]ebpf.ProgramType{
	{
		ebpf.SocketFilter, ebpf.SchedCLS, ebpf.SchedACT, ebpf.CGroupSKB, ebpf.SkSKB,
		ebpf.LWTIn, ebpf.LWTOut, ebpf.LWTXmit, ebpf.LWTSeg6Local,
	},
	{ebpf.RawTracepoint, ebpf.RawTracepointWritable},
}

// Takes reports whether programs of a type can be attached at this kind of hooks: its own,
// one that has the same context, or one that is not known.
func (k *Kind) Takes(typ ebpf.ProgramType) bool {
	return typ == k.Prog || typ == ebpf.UnspecifiedProgram || slices.ContainsFunc(sameContext, func(types []ebpf.ProgramType) bool {
		return slices.Contains(types, typ) && slices.Contains(types, k.Prog)
	})
}

// forTarget reports whether Linux loads a program for one target, rather than for all of
// the kind.
func (k *Kind) forTarget() bool {
	return slices.Contains([]ebpf.ProgramType{ebpf.Tracing, ebpf.LSM, ebpf.Extension, ebpf.StructOps}, k.Prog)
}

// Find gives a kind by its name or another beginning; nil where there is none.
func Find(name string) *Kind {
	for _, k := range kinds {
		if k.Name == name || slices.Contains(k.Aliases, name) {
			return k
		}
	}
	return nil
}

// Kinds gives all kinds in the order in which help shows them.
func Kinds() []*Kind { return kinds }

// Parse takes a name apart: KIND, KIND/TARGET or KIND:TARGET. The longest kind that
// the name begins with is meant, as cgroup/connect4 and cgroup/connect_unix.
func Parse(name string) (Point, error) {
	plain := strings.Replace(name, ":", "/", 1)
	for _, name := range []string{name, plain} { // tcx:ingress/veth0 has its colon in the kind
		if k, rest, ok := split(name); ok {
			return Point{k, rest}, nil
		}
	}
	first, _, _ := strings.Cut(plain, "/")
	known := slices.DeleteFunc(names(), func(kind string) bool { return !strings.HasPrefix(kind, first+"/") })
	if len(known) == 0 {
		known = names()
	}
	return Point{}, fmt.Errorf("hook %s: there is no kind of hooks %s%s", name, first, suggest.Name(first, known))
}

// split finds the kind that a name begins with.
func split(name string) (kind *Kind, target string, ok bool) {
	best := ""
	for _, k := range kinds {
		for _, begin := range append([]string{k.Name}, k.Aliases...) {
			rest, found := strings.CutPrefix(name, begin)
			if !found || len(begin) < len(best) || rest != "" && rest[0] != '/' && rest[0] != ':' {
				continue
			}
			kind, best, ok = k, begin, true
			target = strings.TrimPrefix(rest, cmp.Or(rest, " ")[:1])
		}
	}
	return kind, target, ok
}

// Of gives the point that a program's section names. Sleepable programs, and those
// that take fragments, say so in their sections; the point is the same.
func Of(p *ebpf.ProgramSpec) (Point, error) {
	section := strings.TrimPrefix(p.SectionName, "?")
	kind, target, ok := split(plain(section))
	if !ok {
		return Point{}, fmt.Errorf("program %s: its section %q does not say where it is attached: say it with --hook%s", p.Name, p.SectionName, Near(p.SectionName))
	}
	if target == "" {
		target = p.AttachTo
	}
	return Point{kind, target}, nil
}

// Near gives "; did you mean X?" where a section begins nearly as a kind of hooks.
func Near(section string) string {
	first, _, _ := strings.Cut(plain(strings.TrimPrefix(section, "?")), "/")
	if first == "" || strings.HasPrefix(first, ".") {
		return ""
	}
	return suggest.Name(first, names())
}

// plain is a section's name without what it says of the program rather than of the
// place.
func plain(section string) string {
	head, rest, cut := strings.Cut(section, "/")
	for _, suffix := range []string{".s", ".frags"} {
		head = strings.TrimSuffix(head, suffix)
	}
	if cut {
		return head + "/" + rest
	}
	return head
}

func names() []string {
	all := make([]string, len(kinds))
	for i, k := range kinds {
		all[i] = k.Name
	}
	return all
}
