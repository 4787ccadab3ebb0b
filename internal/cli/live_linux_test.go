package cli

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/kernel"
)

const forwardObject = "testdata/kernel/forward.bpf.o"

// forwarded is what the programs of forwardObject count.
type forwarded struct{ Packets, ByVersion uint64 }

// skep is the command as a process of its own, in this thread's namespaces.
func skep(args ...string) *exec.Cmd {
	cmd := exec.Command("skep", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// mustSkep runs the command to its end.
func mustSkep(t *testing.T, args ...string) string {
	t.Helper()
	out, err := skep(args...).CombinedOutput()
	if err != nil {
		t.Fatalf("skep %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// pinnedFile is a file of what is pinned as road.
func pinnedFile(names ...string) string {
	return filepath.Join(append([]string{kernel.BPFFS, "skep", "road"}, names...)...)
}

// counted reads the counters that are pinned.
func counted(t *testing.T) (f forwarded) {
	t.Helper()
	m, err := ebpf.LoadPinnedMap(pinnedFile("maps", "counters"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := m.Lookup(uint32(0), &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// ids are the kernel's objects that belong to what is pinned.
type ids struct {
	maps  map[ebpf.MapID]bool
	progs map[ebpf.ProgramID]bool
	links map[link.ID]bool
}

func newIDs() *ids {
	return &ids{map[ebpf.MapID]bool{}, map[ebpf.ProgramID]bool{}, map[link.ID]bool{}}
}

// note adds those of now.
func (all *ids) note(t *testing.T) {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	noteMap := func(path string) {
		t.Helper()
		m, err := ebpf.LoadPinnedMap(path, nil)
		check(err)
		defer m.Close()
		info, err := m.Info()
		check(err)
		id, _ := info.ID()
		all.maps[id] = true
	}
	for _, path := range glob(t, "maps") {
		noteMap(path)
	}
	for _, path := range glob(t, "progs") {
		p, err := ebpf.LoadPinnedProgram(path, nil)
		check(err)
		info, err := p.Info()
		check(err)
		id, _ := info.ID()
		all.progs[id] = true
		p.Close()
	}
	for _, path := range glob(t, "links") {
		l, err := link.LoadPinnedLink(path, nil)
		if err != nil { // a stand-in's table
			noteMap(path)
			continue
		}
		info, err := l.Info()
		check(err)
		all.links[info.ID] = true
		l.Close()
	}
}

func glob(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(pinnedFile(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("nothing is pinned in %s (%v)", dir, err)
	}
	return files
}

// left are those that the kernel still has.
func (all *ids) left() (left []string) {
	note := func(what string, id any, c io.Closer, err error) {
		switch {
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			left = append(left, fmt.Sprintf("%s %d (%v)", what, id, err))
		default:
			left = append(left, fmt.Sprintf("%s %d", what, id))
			c.Close()
		}
	}
	for id := range all.maps {
		m, err := ebpf.NewMapFromID(id)
		note("map", id, m, err)
	}
	for id := range all.progs {
		p, err := ebpf.NewProgramFromID(id)
		note("program", id, p, err)
	}
	for id := range all.links {
		l, err := link.NewFromID(id)
		note("link", id, l, err)
	}
	return left
}

// nothingLeft waits until the kernel has freed all, which it does some time after the last
// use.
func (all *ids) nothingLeft(t *testing.T) {
	t.Helper()
	files, err := os.ReadDir(filepath.Join(kernel.BPFFS, "skep"))
	if err != nil || len(files) > 0 {
		t.Errorf("there are still pins: %v (%v)", files, err)
	}
	if !soon(func() bool { return len(all.left()) == 0 }) {
		t.Errorf("there are still %s", strings.Join(all.left(), ", "))
	}
}

// soon waits until something holds, and reports whether it came to.
func soon(holds func() bool) bool {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if holds() {
			return true
		}
	}
	return false
}

// A program forwards while skep is killed, started anew, and has it replaced again and
// again: no packet is lost, its counters go on, and nothing is left in the end.
func TestReplaceWithoutLoss(t *testing.T) {
	replacements := 100
	if testing.Short() {
		replacements = 10
	}
	for _, tc := range []struct{ program, point string }{{"forward_xdp", "xdp/in"}, {"forward_tcx", "tcx/ingress/in"}} {
		t.Run("replaced at "+tc.point, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(testenv.Seed(t), 0))
			r := newRoad(t)
			version := func(n int) []string {
				return []string{"run", forwardObject, "--set", fmt.Sprintf("out=%d", r.out), "--set", fmt.Sprintf("version=%d", n)}
			}
			mustSkep(t, append(version(0), "--hook", tc.program+"="+tc.point, "--pin", "road")...)
			ours := newIDs()
			ours.note(t)
			tr := r.travel(t)
			killed, took := 0, 20*time.Millisecond
			for n := 1; n <= replacements; n++ {
				replace := append(version(n), "--replace", "road")
				cmd := skep(replace...)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				// Most of what skep does is before it changes anything.
				time.Sleep(took/2 + time.Duration(rnd.Int64N(int64(took/2))))
				_ = cmd.Process.Kill()
				if err := cmd.Wait(); err != nil {
					killed++
				}
				began := time.Now()
				mustSkep(t, replace...)
				took = time.Since(began)
				ours.note(t)
				if !soon(func() bool { return counted(t).ByVersion == uint64(n) }) {
					t.Fatalf("after replacement %d, program %d forwards", n, counted(t).ByVersion)
				}
			}
			sent, lost := tr.end(t)
			t.Logf("%d packets, %d lost, in %d replacements; skep was killed in %d more", sent, lost, replacements, killed)
			if got := counted(t).Packets; lost > 0 || got != sent {
				t.Errorf("of %d packets %d were lost, and %d were counted", sent, lost, got)
			}
			mustSkep(t, "stop", "road")
			ours.nothingLeft(t)
		})
	}
}

// Skep that is ended by a signal leaves what it has pinned, all of it, or nothing.
func TestEndedBySignal(t *testing.T) {
	signals := []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGKILL}
	rounds := 4
	if testing.Short() {
		rounds = 1
	}
	// Under nohup SIGHUP is ignored, and so it would be in what is started here: what is
	// caught is not.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for name, pin := range map[string][]string{"attached": nil, "pinned": {"--pin", "road"}} {
		t.Run(name, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(testenv.Seed(t), 0))
			r := newRoad(t)
			args := append([]string{"run", forwardObject, "--set", fmt.Sprintf("out=%d", r.out), "--hook", "forward_xdp=xdp/in"}, pin...)
			began := time.Now()
			leaves(t, syscall.SIGKILL, args, func() {
				if !soon(func() bool { return hasXDP(t) }) {
					t.Fatal("skep attached nothing")
				}
			})
			took := time.Since(began)
			stayed := 0
			for range rounds {
				for _, signal := range signals {
					if leaves(t, signal, args, func() { time.Sleep(time.Duration(rnd.Int64N(int64(took)))) }) {
						stayed++
					}
				}
			}
			t.Logf("programs stayed %d times of %d", stayed, rounds*len(signals))
			if stayed > 0 && pin == nil {
				t.Error("skep has left pins that nobody asked for")
			}
		})
	}
}

// leaves runs skep, sends it a signal after a wait, and stops what stays attached then, if
// anything does.
func leaves(t *testing.T, signal syscall.Signal, args []string, wait func()) (stays bool) {
	t.Helper()
	cmd := skep(args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	wait()
	if err := cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	_ = cmd.Wait() // the signal, or that it ended well
	stays = strings.Contains(mustSkep(t, "ps"), "forward_xdp")
	if !soon(func() bool { return hasXDP(t) == stays }) {
		t.Errorf("%v: pinned: %t, attached: %t", signal, stays, hasXDP(t))
	}
	if stays {
		ours := newIDs()
		ours.note(t)
		mustSkep(t, "stop", "road")
		ours.nothingLeft(t)
	}
	return stays
}

// hasXDP reports whether interface in has a program.
func hasXDP(t *testing.T) bool {
	t.Helper()
	l, err := netlink.LinkByName("in")
	if err != nil {
		t.Fatal(err)
	}
	return l.Attrs().Xdp != nil && l.Attrs().Xdp.Attached
}
