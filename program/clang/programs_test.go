package clang_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/internal/verifiersuite"
	"github.com/skep-ebpf/skep/kernel"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/program/clang"
	"github.com/skep-ebpf/skep/program/vmlinux"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/verifier/kernels"
	"github.com/skep-ebpf/skep/vm"
)

// withHeaders gives options for sources that find skep's headers, and vmlinux.h of
// these types.
func withHeaders(t *testing.T, types *btf.Spec) *clang.Options {
	t.Helper()
	if _, err := clang.Find(); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "vmlinux.h"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := vmlinux.Write(f, types); err != nil {
		t.Fatal(err)
	}
	return &clang.Options{Include: []string{"include", dir}}
}

func compile(t *testing.T, source string, o *clang.Options) *program.Program {
	t.Helper()
	object, err := clang.Compile(t.Context(), source, o)
	if errors.As(err, new(*clang.Error)) && strings.Contains(err.Error(), "install the kernel's") {
		t.Skip(err) // no headers of the system
	}
	if err != nil {
		var refused *clang.Error
		if errors.As(err, &refused) {
			t.Log(clang.Plain(refused.Output))
		}
		t.Fatal(err)
	}
	if object.Warnings != "" {
		t.Errorf("warnings:\n%s", clang.Plain(object.Warnings))
	}
	p, err := program.Read(filepath.Base(source), bytes.NewReader(object.Bytes))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// check has our verifier look at all programs, by the rules of a kernel.
func check(t *testing.T, p *program.Program, version string, types *btf.Spec) {
	t.Helper()
	k, err := kernels.Get(version)
	if err != nil {
		t.Fatal(err)
	}
	link := program.LinkOptions{KernelTypes: types, HasKfunc: k.HasKfunc}
	for name := range p.Spec.Programs {
		img, err := program.Link(p.Spec, name, &link)
		if err != nil {
			t.Error(err)
			continue
		}
		_, err = verifier.CheckImage(img, p.Spec.Maps, &verifier.Options{Kernel: version, KernelTypes: types, Link: link})
		if err != nil {
			t.Errorf("%s: %+v", name, err)
		}
	}
}

func sources(t *testing.T, pattern string) []string {
	t.Helper()
	all, err := filepath.Glob(pattern)
	if err != nil || len(all) == 0 {
		t.Fatalf("no sources in %s: %v", pattern, err)
	}
	return all
}

// TestPrograms compiles programs that are written for libbpf, and has both the
// running kernel's verifier and ours look at them.
func TestPrograms(t *testing.T) {
	types, err := btf.LoadKernelSpec()
	if err != nil {
		t.Skipf("no types of the running kernel: %v", err)
	}
	o := withHeaders(t, types)
	for _, source := range sources(t, "testdata/*.bpf.c") {
		t.Run(filepath.Base(source), func(t *testing.T) {
			t.Parallel()
			p := compile(t, source, o)
			check(t, p, "any", types)
			testenv.Kernel(t)
			for name := range p.Spec.Programs {
				coll, err := kernel.Load(p, &kernel.Options{Programs: []string{name}})
				if errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, os.ErrPermission) {
					t.Log(err) // what this kernel lets nobody load, as fentry without trampolines
					continue
				}
				if err != nil {
					t.Errorf("%s: %+v", name, err)
					continue
				}
				if err := coll.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestForArm64 compiles for another processor and kernel. Only that kernel knows
// which registers such programs may read.
func TestForArm64(t *testing.T) {
	types := verifiersuite.KernelTypes(t, "7.2-arm64")
	o := withHeaders(t, types)
	o.Arch = "arm64"
	for _, source := range []string{"kprobe", "uprobe"} {
		t.Run(source, func(t *testing.T) {
			compile(t, filepath.Join("testdata", source+".bpf.c"), o)
		})
	}
}

// TestExamples compiles the project's examples as a user would.
func TestExamples(t *testing.T) {
	if _, err := clang.Find(); err != nil {
		t.Skip(err)
	}
	for _, source := range sources(t, filepath.Join(testenv.Root(t), "examples", "*", "*.bpf.c")) {
		t.Run(filepath.Base(source), func(t *testing.T) {
			t.Parallel()
			compile(t, source, &clang.Options{Include: []string{"include"}})
		})
	}
}

// TestAnswers runs what asks for everything that CO-RE can tell, in the kernel and
// in our machine.
func TestAnswers(t *testing.T) {
	types, err := btf.LoadKernelSpec()
	if err != nil {
		t.Skipf("no types of the running kernel: %v", err)
	}
	p := compile(t, "testdata/core.bpf.c", withHeaders(t, types))
	const want = 0xffff
	t.Run("kernel", func(t *testing.T) {
		testenv.Kernel(t)
		coll, err := kernel.Load(p, &kernel.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer coll.Close()
		got, err := coll.Programs["answers"].Run(&ebpf.RunOptions{Context: make([]byte, 16)})
		if err != nil || got != want {
			t.Errorf("got %#x, want %#x: %v", got, want, err)
		}
	})
	t.Run("vm", func(t *testing.T) {
		coll, err := vm.NewCollection(p.Spec)
		if err != nil {
			t.Fatal(err)
		}
		defer coll.Close()
		got, err := coll.Programs["answers"].Run(&ebpf.RunOptions{Context: make([]byte, 16)})
		if err != nil || got != want {
			t.Errorf("got %#x, want %#x: %v", got, want, err)
		}
	})
}

// TestIterator reads what an iterator tells of this process's own tasks.
func TestIterator(t *testing.T) {
	testenv.Kernel(t)
	types, err := btf.LoadKernelSpec()
	if err != nil {
		t.Skipf("no types of the running kernel: %v", err)
	}
	p := compile(t, "testdata/task_iter.bpf.c", withHeaders(t, types))
	if err := p.Set("only", strconv.Itoa(os.Getpid())); err != nil {
		t.Fatal(err)
	}
	comm, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		// The sum of 0 to 6, and three more.
		"get_tasks":      fmt.Sprintf(`(?m)^%d %[1]d %s \d+ 24$`, os.Getpid(), strings.TrimSpace(string(comm))),
		"count_children": `^[1-9]\d* threads\n`,
	} {
		t.Run(name, func(t *testing.T) {
			coll, err := kernel.Load(p, &kernel.Options{Programs: []string{name}})
			if err != nil {
				t.Fatal(err)
			}
			defer coll.Close()
			at, err := hook.Of(p.Spec.Programs[name])
			if err != nil {
				t.Fatal(err)
			}
			links, err := coll.Attach([]hook.Attachment{{Program: name, Point: at}})
			if err != nil {
				t.Fatal(err)
			}
			out, err := links[0].Output()
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			got, err := io.ReadAll(out)
			if err != nil || !regexp.MustCompile(want).Match(got) {
				t.Errorf("got %q, want %s: %v", got, want, err)
			}
		})
	}
}
