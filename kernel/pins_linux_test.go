package kernel

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
)

// ownPins mounts a bpffs of the test's own.
func ownPins(t *testing.T) *Pins {
	t.Helper()
	testenv.Kernel(t)
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, ""); err != nil {
		t.Skipf("no bpffs of the test's own: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return PinsIn(dir)
}

// counter loads the counting XDP program and attaches it to left.
func counter(t *testing.T) (*Collection, []hook.Attachment) {
	t.Helper()
	c, err := Load(counting("xdp", ebpf.XDP, ebpf.AttachXDP, "", 1), &Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	attach(t, c, "xdp/left")
	return c, []hook.Attachment{{Program: "count", Point: c.links[0].Point()}}
}

// hitsOf reads what a pinned program has counted.
func hitsOf(t *testing.T, p *Pins, name string) (n uint64) {
	t.Helper()
	m, err := ebpf.LoadPinnedMap(p.path(name, "maps", "hits"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Lookup(uint32(0), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A pinned program runs on when its collection is closed, and nothing of it is left when
// it is stopped.
func TestPins(t *testing.T) {
	ownNetwork(t)
	p := ownPins(t)
	c, at := counter(t)
	info, err := c.Programs["count"].Info()
	if err != nil {
		t.Fatal(err)
	}
	id, _ := info.ID()
	if err := p.Check("fw", at); err != nil {
		t.Fatal(err)
	}
	if err := p.Pin("fw", c); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	send(t, "right")
	if n := hitsOf(t, p, "fw"); n != 1 {
		t.Errorf("the program ran %d times for one packet", n)
	}
	all, err := p.List()
	if err != nil {
		t.Fatal(err)
	}
	want := []*Pinned{{Name: "fw", Since: all[0].Since, Maps: []string{"hits"}, Links: []PinnedLink{{Program: "count", At: "xdp/left"}}}}
	want[0].Links[0].Runs, want[0].Links[0].Time = all[0].Links[0].Runs, all[0].Links[0].Time
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("what is pinned (-want +got):\n%s", diff)
	}
	if ago := time.Since(all[0].Since); ago < -time.Second || ago > time.Minute {
		t.Errorf("it is pinned since %v", all[0].Since)
	}
	for name, want := range map[string]string{
		"fw":   "name fw is taken, by count at xdp/left: end that with 'skep stop fw', or take another name",
		"a/b":  `name "a/b": want letters, digits, - and _`,
		"+x":   "want letters",
		"a.b":  "want letters",
		"":     "want letters",
		"-x":   "a letter or a digit first",
		"good": "",
	} {
		if err := p.Check(name, at); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("name %q: %v, want an error with %q", name, err, want)
		}
	}
	if err := p.Stop("fww"); err == nil || !strings.Contains(err.Error(), "nothing is pinned as fww; did you mean fw?") {
		t.Errorf("stop fww: %v", err)
	}
	if err := p.Stop("fw"); err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, p, id)
}

// nothingLeft looks whether there are pins, and whether a program is there; Linux frees
// those some time after the last use.
func nothingLeft(t *testing.T, p *Pins, id ebpf.ProgramID) {
	t.Helper()
	if names, err := p.files(); err != nil || len(names) > 0 {
		t.Errorf("there are still %v (%v)", names, err)
	}
	for range 100 {
		prog, err := ebpf.NewProgramFromID(id)
		if errors.Is(err, os.ErrNotExist) {
			counter(t) // the interface is free
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		prog.Close()
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the program is still there")
}

// What a skep that was killed has left is detached by the next one.
func TestPinsUnfinished(t *testing.T) {
	ownNetwork(t)
	p := ownPins(t)
	c, _ := counter(t)
	info, err := c.Programs["count"].Info()
	if err != nil {
		t.Fatal(err)
	}
	id, _ := info.ID()
	if err := p.change(func() error { return c.pin(p.path("+fw")) }); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if all, err := p.List(); err != nil || len(all) > 0 {
		t.Errorf("pinned: %v (%v), want nothing", all, err)
	}
	nothingLeft(t, p, id)
}

// What cannot be pinned is said, and what was pinned until then is taken back.
func TestPinsRefused(t *testing.T) {
	ownNetwork(t)
	p := ownPins(t)
	at, err := hook.Parse("socket/left")
	if err != nil {
		t.Fatal(err)
	}
	want := "program count at socket/left cannot be pinned: it is attached there only as long as skep runs"
	if err := p.Check("fw", []hook.Attachment{{Program: "count", Point: at}}); err == nil || err.Error() != want {
		t.Errorf("check: %v, want %s", err, want)
	}
	c, err := Load(counting("socket", ebpf.SocketFilter, 0, "", 0), &Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	attach(t, c, "socket/left")
	if err := p.Pin("fw", c); err == nil || !strings.Contains(err.Error(), "counting.o: pin fw: program count at socket/left: it is attached without a link of the kernel") {
		t.Errorf("pin: %v", err)
	}
	if names, err := p.files(); err != nil || len(names) > 0 {
		t.Errorf("there are still %v (%v)", names, err)
	}
	dir := t.TempDir()
	want = "bpffs, the file system of pinned programs, is not mounted at " + dir + ": mount -t bpf bpf " + dir
	if _, err := PinsIn(dir).List(); err == nil || err.Error() != want {
		t.Errorf("list: %v, want %s", err, want)
	}
}

// Every way of attaching that makes links can be pinned.
func TestPinsOfHooks(t *testing.T) {
	for _, tc := range []struct {
		at     string
		typ    ebpf.ProgramType
		attach ebpf.AttachType
	}{
		{"tcx/ingress/left", ebpf.SchedCLS, ebpf.AttachTCXIngress},
		{"clsact/ingress/left@7", ebpf.SchedCLS, 0},
		{"netfilter/ipv4/local_in@-100", ebpf.Netfilter, ebpf.AttachNetfilter},
		{"sk_lookup//proc/thread-self/ns/net", ebpf.SkLookup, ebpf.AttachSkLookup},
		{"raw_tracepoint/sched_switch", ebpf.RawTracepoint, 0},
		{"perf_event/software/cpu-clock@9hz", ebpf.PerfEvent, 0},
		{"uprobe//proc/self/exe:main.main", ebpf.Kprobe, 0},
	} {
		t.Run("pinned at "+filepath.Dir(tc.at), func(t *testing.T) {
			ownNetwork(t)
			p := ownPins(t)
			needs(t, tc.at)
			if kind, _, _ := strings.Cut(tc.at, "/"); kind == "perf_event" || kind == "uprobe" {
				testenv.KernelFrom(t, 5, 15, "perf events had no links")
			}
			c, err := Load(counting(tc.at, tc.typ, tc.attach, "", 1), &Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			attach(t, c, tc.at)
			if err := p.Pin("one", c); err != nil {
				t.Fatal(err)
			}
			all, err := p.List()
			if err != nil || len(all) != 1 || len(all[0].Links) != 1 || all[0].Links[0].At != tc.at {
				t.Errorf("list: %+v (%v)", all, err)
			}
			if err := p.Stop("one"); err != nil {
				t.Error(err)
			}
		})
	}
}

// A program is replaced while it is attached; its maps stay, and everything does when the
// new object does not fit.
func TestPinsReplace(t *testing.T) {
	ownNetwork(t)
	p := ownPins(t)
	c, _ := counter(t)
	info, err := c.Programs["count"].Info()
	if err != nil {
		t.Fatal(err)
	}
	id, _ := info.ID()
	if err := errors.Join(p.Pin("fw", c), c.Close()); err != nil {
		t.Fatal(err)
	}
	send(t, "right")
	object := func(step int32) *program.Program {
		o := counting("xdp", ebpf.XDP, ebpf.AttachXDP, "", 1)
		insns := o.Spec.Programs["count"].Instructions
		insns[1] = asm.Mov.Imm(asm.R2, step)
		return o
	}
	other := object(10)
	other.Spec.Maps["hits"].ValueSize = 16
	want := "counting.o cannot replace fw: map hits has another size of values (8 bytes, now 16), what it holds would be lost: end the old one with 'skep stop fw' if it may be"
	if _, err := p.Replace("fw", other, &Options{}); err == nil || err.Error() != want {
		t.Errorf("replace by another layout: %v, want %s", err, want)
	}
	other = object(10)
	other.Spec.Programs["new"] = other.Spec.Programs["count"]
	delete(other.Spec.Programs, "count")
	if _, err := p.Replace("fw", other, &Options{}); err == nil || !strings.Contains(err.Error(), "no program count") {
		t.Errorf("replace by an object without the program: %v", err)
	}
	send(t, "right")
	if n := hitsOf(t, p, "fw"); n != 2 {
		t.Errorf("after what was refused the program has counted %d, want 2", n)
	}
	if _, err := p.Replace("fw", object(10), &Options{}); err != nil {
		t.Fatal(err)
	}
	send(t, "right")
	if n := hitsOf(t, p, "fw"); n != 12 {
		t.Errorf("the program that took its place has counted %d, want 12", n)
	}
	if err := p.Stop("fw"); err != nil {
		t.Fatal(err)
	}
	nothingLeft(t, p, id)
}

// Where Linux refuses a program everything goes back.
func TestPinsReplaceRefused(t *testing.T) {
	ownNetwork(t)
	needs(t, "netfilter")
	p := ownPins(t)
	c, err := Load(counting("netfilter", ebpf.Netfilter, ebpf.AttachNetfilter, "", 1), &Options{})
	if err != nil {
		t.Fatal(err)
	}
	attach(t, c, "netfilter/ipv4/local_in")
	if err := errors.Join(p.Pin("nf", c), c.Close()); err != nil {
		t.Fatal(err)
	}
	want := "program count at netfilter/ipv4/local_in cannot be replaced"
	if _, err := p.Replace("nf", counting("netfilter", ebpf.Netfilter, ebpf.AttachNetfilter, "", 1), &Options{}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("replace: %v, want an error with %q", err, want)
	}
	d, err := Load(counting("netfilter", ebpf.Netfilter, ebpf.AttachNetfilter, "", 0), &Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := p.change(func() error { return p.swap("nf", d) }); err == nil || !strings.Contains(err.Error(), "counting.o: replace nf: program count at netfilter/ipv4/local_in: ") {
		t.Errorf("swap: %v", err)
	}
	if names, err := p.files(); err != nil || len(names) != 1 {
		t.Errorf("there are %v (%v)", names, err)
	}
	if all, err := p.List(); err != nil || len(all) != 1 || len(all[0].Links) != 1 {
		t.Errorf("list: %v (%v)", all, err)
	}
	before := hitsOf(t, p, "nf")
	dial(t)
	if hitsOf(t, p, "nf") == before {
		t.Error("the old program does not run any more")
	}
	if err := p.Stop("nf"); err != nil {
		t.Error(err)
	}
}

// A replacement during which skep was killed is finished by the next one.
func TestPinsReplaceKilled(t *testing.T) {
	for _, tc := range []struct {
		name    string
		renamed []string // what has been by then, from and to
	}{
		{"before it had the name", nil},
		{"when none had it", []string{"fw", "-fw"}},
		{"when it had it, and the old one none", []string{"fw", "-fw", "+fw", "fw"}},
		{"before links changed", []string{"fw", "-fw", "+fw", "fw", "-fw", "+fw"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ownNetwork(t)
			p := ownPins(t)
			c, at := counter(t)
			if err := errors.Join(p.Pin("fw", c), c.Close()); err != nil {
				t.Fatal(err)
			}
			d, err := Load(counting("xdp", ebpf.XDP, ebpf.AttachXDP, "", 2), &Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = d.Close() })
			if err := errors.Join(d.pin(p.path("+fw")), p.shareLinks("fw")); err != nil {
				t.Fatal(err)
			}
			for names := range slices.Chunk(tc.renamed, 2) {
				if err := os.Rename(p.path(names[0]), p.path(names[1])); err != nil {
					t.Fatal(err)
				}
			}
			if all, err := p.List(); err != nil || len(all) != 1 || len(all[0].Links) != 1 {
				t.Errorf("list: %v (%v)", all, err)
			}
			runsPinned(t, p, "fw", at[0])
			if names, err := p.files(); err != nil || len(names) != 1 {
				t.Errorf("there are %v (%v)", names, err)
			}
			if err := p.Stop("fw"); err != nil {
				t.Error(err)
			}
		})
	}
}

// All programs of an object are replaced, at each kind of hooks that lets them.
func TestPinsReplaceKinds(t *testing.T) {
	for _, tc := range []struct {
		points []string
		typ    ebpf.ProgramType
		attach ebpf.AttachType
	}{
		{[]string{"xdp/left", "xdp/right@generic"}, ebpf.XDP, ebpf.AttachXDP},
		{[]string{"tcx/ingress/left", "tcx/ingress/right"}, ebpf.SchedCLS, ebpf.AttachTCXIngress},
		{[]string{"clsact/ingress/left", "clsact/egress/left@9"}, ebpf.SchedCLS, 0},
		{[]string{"sk_lookup"}, ebpf.SkLookup, ebpf.AttachSkLookup},
		{[]string{"flow_dissector"}, ebpf.FlowDissector, ebpf.AttachFlowDissector},
		{[]string{"cgroup/connect4/CGROUP", "cgroup/connect4/CGROUP"}, ebpf.CGroupSockAddr, ebpf.AttachCGroupInet4Connect},
	} {
		t.Run("replaced at "+tc.points[0], func(t *testing.T) {
			ownNetwork(t)
			p := ownPins(t)
			object := counting(tc.points[0], tc.typ, tc.attach, "", 1)
			dir := ""
			if strings.HasPrefix(tc.points[0], "cgroup") {
				dir = ownCgroup(t)
			}
			var at []hook.Attachment
			for i, name := range tc.points {
				point, err := hook.Parse(strings.Replace(name, "CGROUP", dir, 1))
				if err != nil {
					t.Fatal(err)
				}
				prog := *object.Spec.Programs["count"]
				prog.Name = fmt.Sprintf("count%d", i)
				object.Spec.Programs[prog.Name] = &prog
				at = append(at, hook.Attachment{Program: prog.Name, Point: point})
			}
			c, err := Load(object, &Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := c.Attach(at); err != nil {
				t.Skip(err)
			}
			if err := errors.Join(p.Pin("all", c), c.Close()); err != nil {
				t.Fatal(err)
			}
			got, err := p.Replace("all", object, &Options{})
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(at) {
				t.Errorf("replaced %v, want %v", got, at)
			}
			for _, a := range at {
				runsPinned(t, p, "all", a)
			}
			if err := p.Stop("all"); err != nil {
				t.Error(err)
			}
		})
	}
}

// runsPinned looks whether a link has the program that is pinned.
func runsPinned(t *testing.T, p *Pins, name string, a hook.Attachment) {
	t.Helper()
	prog, err := ebpf.LoadPinnedProgram(p.path(name, "progs", escape(a.Program)), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer prog.Close()
	info, err := prog.Info()
	if err != nil {
		t.Fatal(err)
	}
	l, err := openPinned(p.path(name, "links", escape(a.Program)+"@"+escape(a.Point.String())))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var has ebpf.ProgramID
	switch l := l.(type) {
	case *kernelLink:
		about, err := l.Info()
		if err != nil {
			t.Fatal(err)
		}
		has = about.Program
	case *pinnedStandIn:
		if err := l.Lookup(uint32(0), &has); err != nil {
			t.Fatal(err)
		}
	}
	if want, _ := info.ID(); has != want {
		t.Errorf("%s at %s runs program %d, want %d", a.Program, a.Point, has, want)
	}
}

// What stands in for a program goes on when its skep has gone, runs another program after a
// replacement, and goes when it is stopped.
func TestPinsStandIn(t *testing.T) {
	ownNetwork(t)
	p := ownPins(t)
	c := classifier(t, "clsact/ingress/left")
	if err := errors.Join(p.Pin("fw", c), c.Close()); err != nil {
		t.Fatal(err)
	}
	send(t, "right")
	object := counting("tc", ebpf.SchedCLS, 0, "", -1)
	object.Spec.Programs["count"].Instructions[1] = asm.Mov.Imm(asm.R2, 10)
	if _, err := p.Replace("fw", object, &Options{}); err != nil {
		t.Fatal(err)
	}
	send(t, "right")
	if n := hitsOf(t, p, "fw"); n != 11 {
		t.Errorf("the two programs have counted %d, want 11", n)
	}
	if err := p.Stop("fw"); err != nil {
		t.Fatal(err)
	}
	if ingress, _, qdisc := clsactOf(t); qdisc {
		t.Errorf("there are still a qdisc and %v", ingress)
	}
}
