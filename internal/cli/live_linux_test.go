package cli

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
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
	check := func(ok bool, err error) {
		t.Helper()
		if !ok || err != nil {
			t.Fatalf("pinned objects without ids: %v", err)
		}
	}
	noteMap := func(path string) {
		t.Helper()
		m, err := ebpf.LoadPinnedMap(path, nil)
		check(err == nil, err)
		info, err := m.Info()
		check(err == nil, err)
		id, ok := info.ID()
		check(ok, nil)
		all.maps[id] = true
		m.Close()
	}
	for _, path := range glob(t, "maps") {
		noteMap(path)
	}
	for _, path := range glob(t, "progs") {
		p, err := ebpf.LoadPinnedProgram(path, nil)
		check(err == nil, err)
		info, err := p.Info()
		check(err == nil, err)
		id, ok := info.ID()
		check(ok, nil)
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
		check(err == nil, err)
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
	for id := range all.maps {
		if m, err := ebpf.NewMapFromID(id); !errors.Is(err, os.ErrNotExist) {
			left = append(left, fmt.Sprintf("map %d (%v)", id, err))
			m.Close()
		}
	}
	for id := range all.progs {
		if p, err := ebpf.NewProgramFromID(id); !errors.Is(err, os.ErrNotExist) {
			left = append(left, fmt.Sprintf("program %d (%v)", id, err))
			p.Close()
		}
	}
	for id := range all.links {
		if l, err := link.NewFromID(id); !errors.Is(err, os.ErrNotExist) {
			left = append(left, fmt.Sprintf("link %d (%v)", id, err))
			l.Close()
		}
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
			if out, err := skep(append(version(0), "--hook", tc.program+"="+tc.point, "--pin", "road")...).CombinedOutput(); err != nil {
				if bytes.Contains(out, []byte("requires >= v")) {
					t.Skipf("%s", out)
				}
				t.Fatalf("%v\n%s", err, out)
			}
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
	for _, pin := range []bool{false, true} {
		t.Run(map[bool]string{false: "attached", true: "pinned"}[pin], func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(testenv.Seed(t), 0))
			r := newRoad(t)
			args := []string{"run", forwardObject, "--set", fmt.Sprintf("out=%d", r.out), "--hook", "forward_xdp=xdp/in"}
			if pin {
				args = append(args, "--pin", "road")
			}
			began, took := time.Now(), time.Duration(0)
			times, stayed := 20, 0
			if testing.Short() {
				times = len(signals)
			}
			for i := range times {
				cmd := skep(args...)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				if i == 0 { // how long it takes until it is attached
					if !soon(func() bool { return hasXDP(t) }) {
						t.Fatal("skep attached nothing")
					}
					took = time.Since(began)
				} else {
					time.Sleep(took/2 + time.Duration(rnd.Int64N(int64(took))))
				}
				if err := cmd.Process.Signal(signals[i%len(signals)]); err != nil && !errors.Is(err, os.ErrProcessDone) {
					t.Fatal(err)
				}
				_ = cmd.Wait()
				stays := strings.Contains(mustSkep(t, "ps"), "forward_xdp")
				if stays && !pin {
					t.Errorf("%v: skep left a pinned program that was not to be pinned", signals[i%len(signals)])
				}
				if !soon(func() bool { return hasXDP(t) == stays }) {
					t.Errorf("%v: pinned: %t, attached: %t", signals[i%len(signals)], stays, hasXDP(t))
				}
				if stays {
					stayed++
					ours := newIDs()
					ours.note(t)
					mustSkep(t, "stop", "road")
					ours.nothingLeft(t)
				}
			}
			t.Logf("%d of %d stayed", stayed, times)
		})
	}
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
