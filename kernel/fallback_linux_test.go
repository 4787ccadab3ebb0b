package kernel

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier/kernels"
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
		{"traced", 0, "by a raw_tracepoint, as this kernel does not tell the types of sys_enter"},
	} {
		t.Run(tc.program, func(t *testing.T) {
			hideTypes(t)
			var opts Options
			if tc.program == "left" {
				opts.Link.KernelTypes = types
			}
			link, seen := watching(t, tc.program, &opts)
			if by := link.Instead(); by != tc.by {
				t.Errorf("it is attached %q, want %q", by, tc.by)
			}
			_, _ = unix.Getpgid(os.Getppid())
			if n := seen(); n != tc.seen && tc.program != "traced" { // which sees all system calls
				t.Errorf("the program saw %d, want %d", n, tc.seen)
			}
		})
	}
}

// watching loads a program of testdata and attaches it where its section says; seen
// detaches it, and gives the number that it noted last.
func watching(t *testing.T, name string, opts *Options) (link *Link, seen func() uint64) {
	t.Helper()
	opts.Programs = []string{name}
	c, err := Load(differs(t), opts)
	if errors.Is(err, os.ErrPermission) {
		t.Skip("needs a kernel that attaches there")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	at, err := hook.Of(differs(t).Spec.Programs[name])
	if err != nil {
		t.Fatal(err)
	}
	links, err := c.Attach([]hook.Attachment{{Program: name, Point: at}})
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, ebpf.ErrNotSupported) {
		t.Skip("needs a kernel with CONFIG_KPROBE_EVENTS")
	}
	if err != nil {
		t.Fatal(err)
	}
	return links[0], func() (number uint64) {
		t.Helper()
		var hits uint64
		err := errors.Join(links[0].Close(), c.Maps["hits"].Lookup(uint32(0), &hits), c.Maps["seen"].Lookup(uint32(0), &number))
		if err != nil || hits == 0 {
			t.Fatalf("the program ran %d times (%v)", hits, err)
		}
		return number
	}
}

// What a kernel does not attach by types for another reason is attached without them too.
func TestTooManyArguments(t *testing.T) {
	testenv.Kernel(t)
	link, seen := watching(t, "mapped", &Options{})
	const length = 7 * 4096
	b, err := unix.Mmap(-1, 0, length, unix.PROT_READ, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(b)
	if n := seen(); n != length {
		t.Errorf("the program saw %d, want %d", n, length)
	}
	host, err := kernels.Host()
	if err != nil {
		t.Fatal(err)
	}
	want := ""
	if host.Version() < kernels.V(6, 6) {
		want = "by a kprobe, as this kernel attaches no fentry to do_mmap"
	}
	if by := link.Instead(); by != want {
		t.Errorf("it is attached %q, want %q", by, want)
	}
}

// What programs ask of their kernel they are told: where fields lie, also by types of a
// file, where functions and which options there are.
func TestAsked(t *testing.T) {
	testenv.Kernel(t)
	types, err := runningTypes.Kernel()
	if err != nil {
		t.Skip(err)
	}
	version, err := features.LinuxVersionCode()
	if err != nil {
		t.Fatal(err)
	}
	pid := uint64(os.Getpid())
	for name, tc := range map[string]struct {
		program string
		want    uint64
		opts    Options
	}{
		"field":              {"relocated", pid, Options{}},
		"field, from a file": {"relocated", pid, Options{Link: program.LinkOptions{KernelTypes: types}}},
		"missing field":      {"asked_field", 0, Options{}},
		"option":             {"configured", uint64(version), Options{}},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.opts.Link.KernelTypes != nil {
				hideTypes(t)
			}
			_, seen := watching(t, tc.program, &tc.opts)
			_, _ = unix.Getpgid(0)
			if n := seen(); n != tc.want {
				t.Errorf("the program saw %d, want %d", n, tc.want)
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
