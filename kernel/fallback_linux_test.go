package kernel

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/verifier"
)

// Where the kernel does not tell the types of a function or tracepoint, a program that
// takes its arguments as numbers is attached without them, and sees the same.
func TestWithoutTypes(t *testing.T) {
	testenv.Kernel(t)
	types, err := runningTypes.Kernel()
	if err != nil {
		t.Skip(err)
	}
	parent, err := unix.Getpgid(os.Getppid())
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		program string
		seen    uint64
		by      string
	}{
		{"entered", uint64(os.Getppid()), "by a kprobe, as this kernel does not tell the types of __x64_sys_getpgid"},
		{"left", uint64(parent), "by a kretprobe, as this kernel does not tell the types of __x64_sys_getpgid"},
		{"traced", unix.SYS_GETPGID, "by a raw_tracepoint, as this kernel does not tell the types of sys_enter"},
	} {
		t.Run(tc.program, func(t *testing.T) {
			hideTypes(t)
			opts := Options{Programs: []string{tc.program}}
			if tc.program == "left" {
				opts.Link.KernelTypes = types
			}
			c, err := Load(differs(t), &opts)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			at, err := hook.Of(differs(t).Spec.Programs[tc.program])
			if err != nil {
				t.Fatal(err)
			}
			links, err := c.Attach([]hook.Attachment{{Program: tc.program, Point: at}})
			if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) || errors.Is(err, ebpf.ErrNotSupported) {
				t.Skip("needs a kernel with CONFIG_KPROBE_EVENTS")
			}
			if err != nil {
				t.Fatal(err)
			}
			if by := links[0].Instead(); by != tc.by {
				t.Errorf("it is attached %q, want %q", by, tc.by)
			}
			_, _ = unix.Getpgid(os.Getppid())
			if err := links[0].Close(); err != nil {
				t.Fatal(err)
			}
			var hits, seen uint64
			if err := errors.Join(c.Maps["hits"].Lookup(uint32(0), &hits), c.Maps["seen"].Lookup(uint32(0), &seen)); err != nil {
				t.Fatal(err)
			}
			if hits == 0 || tc.program != "traced" && seen != tc.seen {
				t.Errorf("the program ran %d times, and saw %d, want %d", hits, seen, tc.seen)
			}
		})
	}
}

// What a program needs types for is said where there are none.
func TestNeedsTypes(t *testing.T) {
	testenv.Kernel(t)
	hideTypes(t)
	for name, want := range map[string]string{
		"reads": "and a kprobe cannot take its place: it looks through a pointer itself (differs.bpf.c:",
		"left":  "and a kretprobe cannot take its place: how many arguments stand before the result is not known: name a file of the kernel's types, with --btf",
	} {
		_, err := Load(differs(t), &Options{Programs: []string{name}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", name, err, want)
		}
		var refusal *verifier.Error
		if name == "reads" && !errors.As(err, &refusal) {
			t.Errorf("%s: %v does not say where", name, err)
		}
	}
}

// Where the kernel attaches to one function at a time, many probes take the place of one
// link, and it is said.
func TestSingleProbes(t *testing.T) {
	testenv.Kernel(t)
	if !lacksKprobeMulti() {
		t.Skip("the running kernel has kprobe.multi")
	}
	for _, kind := range []string{"kprobe.multi", "kretprobe.multi"} {
		t.Run("without "+kind, func(t *testing.T) {
			at, err := hook.Parse(kind + "/__x64_sys_?etpgid")
			if err != nil {
				t.Fatal(err)
			}
			c, err := Load(ofThisProcess(counting(at.String(), ebpf.Kprobe, at.Kind.Attach, "", 0)), &Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			links, err := c.Attach([]hook.Attachment{{Program: "count", Point: at}})
			if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) || errors.Is(err, ebpf.ErrNotSupported) {
				t.Skip("needs a kernel with CONFIG_KPROBE_EVENTS")
			}
			if err != nil {
				t.Fatal(err)
			}
			if by := links[0].Instead(); !strings.HasPrefix(by, "by single probes (2), as this kernel has no kprobe.multi (Linux 5.18 has") {
				t.Errorf("it is attached %q", by)
			}
			_, _ = unix.Getpgid(0)
			var hits uint64
			if err := c.Maps["hits"].Lookup(uint32(0), &hits); err != nil || hits == 0 {
				t.Errorf("the program ran %d times, %v", hits, err)
			}
		})
	}
	at, err := hook.Parse("kprobe.session/__x64_sys_getpgid")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Load(counting("kprobe.session/__x64_sys_getpgid", ebpf.Kprobe, ebpf.AttachTraceKprobeSession, "", 0), &Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Attach([]hook.Attachment{{Program: "count", Point: at}})
	if want := "not supported here, but since Linux 6.10 with CONFIG_FPROBE: attach one program at kprobe.multi and one at kretprobe.multi"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want an error with %q", err, want)
	}
}
