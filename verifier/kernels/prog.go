package kernels

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
)

// progTable is the program and attach types by their names in linux/bpf.h, in
// lower case and without prefix: "sched_cls", "trace_fentry".
type progTable struct {
	progs       map[string]ebpf.ProgramType
	progSpans   map[ebpf.ProgramType]span
	checked     map[ebpf.ProgramType]span // types whose attach type counts when a program is loaded
	attaches    map[string]ebpf.AttachType
	attachSpans map[ebpf.AttachType]span
	attachUses  map[ebpf.AttachType]uses
	sleepable   uses
}

var progs = sync.OnceValue(func() *progTable {
	t := &progTable{
		progs:       map[string]ebpf.ProgramType{},
		progSpans:   map[ebpf.ProgramType]span{},
		checked:     map[ebpf.ProgramType]span{},
		attaches:    map[string]ebpf.AttachType{},
		attachSpans: map[ebpf.AttachType]span{},
		attachUses:  map[ebpf.AttachType]uses{},
	}
	for _, row := range rows("progs.txt") {
		n, s := parseNumbered("progs.txt", row)
		p := ebpf.ProgramType(n)
		t.progs[row[1]], t.progSpans[p] = p, s
		for _, column := range row[3:] {
			_, since, err := parseEntry(column, s)
			t.checked[p] = must(since, err)
		}
	}
	attaches := rows("attaches.txt")
	for _, row := range attaches {
		n, s := parseNumbered("attaches.txt", row)
		a := ebpf.AttachType(n)
		t.attaches[row[1]], t.attachSpans[a] = a, s
	}
	for _, row := range attaches {
		a := t.attaches[row[1]]
		t.attachUses[a] = must(t.parseUses(row[3:], t.attachSpans[a], nil))
	}
	t.sleepable = must(t.parseUses(rows("sleepable.txt")[0], span{}, nil))
	return t
})

// parseNumbered reads the first columns of a row: number, name, versions.
func parseNumbered(file string, row []string) (uint32, span) {
	if len(row) < 3 {
		panic(fmt.Sprintf("unreachable: %s: %v: want number, name and version", file, row))
	}
	n := must(strconv.ParseUint(row[0], 10, 32))
	return uint32(n), must(parseSpan(row[2]))
}

// must is for the embedded tables, which a test reads whole.
func must[T any](value T, err error) T {
	if err != nil {
		panic("unreachable: " + err.Error())
	}
	return value
}

// User is a kind of programs that may use something in some versions.
type User struct {
	span
	Prog   ebpf.ProgramType
	Attach ebpf.AttachType
	Narrow bool // only programs with this attach type, not all of the type
}

// In gives the first version in which such programs may, and whether they may in v.
func (u User) In(v Version) (since Version, ok bool) { return u.since, u.has(v) }

// uses is who may use something.
type uses []User

// find answers for programs of a type and attach type. As in Linux, sockets of
// cgroups are attached at their creation where nothing is said.
func (us uses) find(v Version, t ebpf.ProgramType, a ebpf.AttachType) (since Version, ok bool) {
	if t == ebpf.CGroupSock && a == 0 {
		a = ebpf.AttachCGroupInetSockCreate
	}
	q := search{v: v}
	for _, u := range us {
		if u.Prog == t && (!u.Narrow || u.Attach == a) {
			q.add(u.span)
		}
	}
	return q.answer()
}

// parseUses reads columns that say who may use something: "xdp" for programs of
// this type, "tracing/trace_iter" for those with this attach type, "$base" for
// what sets has by this name. Versions follow as for parseEntry.
func (t *progTable) parseUses(columns []string, row span, sets map[string]uses) (uses, error) {
	var all uses
	for _, column := range columns {
		name, s, err := parseEntry(column, row)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(name, "$") {
			set, ok := sets[name]
			if !ok {
				return nil, fmt.Errorf("%s: there is no set of this name", column)
			}
			for _, u := range set {
				u.span = u.within(s)
				all = append(all, u)
			}
			continue
		}
		prog, attach, narrow := strings.Cut(name, "/")
		p, ok := t.progs[prog]
		if !ok {
			return nil, fmt.Errorf("%s: there is no program type of this name", column)
		}
		u := User{span: s.within(t.progSpans[p]), Prog: p, Narrow: narrow}
		if narrow {
			if u.Attach, ok = t.attaches[attach]; !ok {
				return nil, fmt.Errorf("%s: there is no attach type of this name", column)
			}
			u.span = u.within(t.attachSpans[u.Attach])
		}
		all = append(all, u)
	}
	return all, nil
}

// ProgType answers for a program type.
func (k *Kernel) ProgType(t ebpf.ProgramType) (since Version, ok bool) {
	s, known := progs().progSpans[t]
	if !known {
		return 0, false
	}
	since, ok = answer(k.version, s)
	if k.host != nil {
		ok = k.host.progType(t, ok)
	}
	return since, ok
}

// AttachType answers for programs of a type that are to be attached in a way: the
// first version that attaches them so, and whether this kernel loads them. Of most
// types it loads programs with any attach type, and looks at that later. Attach
// type 0 is also for types that need none.
func (k *Kernel) AttachType(t ebpf.ProgramType, a ebpf.AttachType) (since Version, ok bool) {
	if since, ok = progs().attachUses[a].find(k.version, t, a); ok {
		return since, true
	}
	if checked, looks := progs().checked[t]; looks && checked.has(k.version) && a != 0 {
		return since, false
	}
	first, ok := k.ProgType(t)
	return cmp.Or(since, first), ok
}

// Attaches gives the first version that attaches programs of a type in a way;
// false where none does.
func Attaches(t ebpf.ProgramType, a ebpf.AttachType) (since Version, ok bool) {
	return progs().attachUses[a].find(newest, t, a)
}

// Sleepable answers for programs of a type and attach type that may sleep
// (BPF_F_SLEEPABLE).
func (k *Kernel) Sleepable(t ebpf.ProgramType, a ebpf.AttachType) (since Version, ok bool) {
	return progs().sleepable.find(k.version, t, a)
}

// types are the program types that may use it in some way in a version.
func (us uses) types(v Version) []ebpf.ProgramType {
	var all []ebpf.ProgramType
	for _, u := range us {
		if u.has(v) && !slices.Contains(all, u.Prog) {
			all = append(all, u.Prog)
		}
	}
	slices.Sort(all)
	return all
}

// ProgName is a program type's name in linux/bpf.h, in lower case and without
// prefix: "sched_cls".
func ProgName(t ebpf.ProgramType) string { return nameOf(progs().progs, t) }

// AttachName is an attach type's name in linux/bpf.h, likewise: "trace_iter".
func AttachName(a ebpf.AttachType) string { return nameOf(progs().attaches, a) }

func nameOf[N ~uint32](numbers map[string]N, number N) string {
	for name, n := range numbers {
		if n == number {
			return name
		}
	}
	return strconv.FormatUint(uint64(number), 10)
}
