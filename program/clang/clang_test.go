package clang

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier/kernels"
)

// installedClang skips a test where there is none.
func installedClang(t *testing.T) *Compiler {
	t.Helper()
	cc, err := Find()
	if err != nil {
		t.Skip(err)
	}
	return cc
}

// write puts a source into a folder of the test's own.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// types are what sources include in place of vmlinux.h, where that does not matter.
const types = `
typedef unsigned char __u8;
typedef unsigned short __u16, __be16;
typedef unsigned int __u32, __be32, __wsum;
typedef int __s32;
typedef unsigned long long __u64;
typedef long long __s64;
#include "bpf/bpf_helpers.h"
char _license[] SEC("license") = "GPL";
`

// headersOf makes options with the headers of the source tree.
func headersOf(flags ...string) *Options {
	return &Options{Include: []string{"include"}, Flags: flags}
}

// TestEveryHelper holds the declarations of helpers against Linux's.
func TestEveryHelper(t *testing.T) {
	text, err := headers.ReadFile("include/bpf/bpf_helper_defs.h")
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[uint32]string)
	for _, m := range regexp.MustCompile(`(?m)^__BPF_HELPER\((\d+), [^,]+, (bpf_\w+),`).FindAllSubmatch(text, -1) {
		number, err := strconv.ParseUint(string(m[1]), 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		got[uint32(number)] = string(m[2])
	}
	want := make(map[uint32]string)
	for _, h := range kernels.Helpers() {
		want[h.ID] = h.Name
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-Linux +header)\n%s", diff)
	}
}

// TestStrip compares an object before and after: the same program, and no DWARF.
func TestStrip(t *testing.T) {
	cc := installedClang(t)
	source := write(t, "prog.bpf.c", types+`
struct { __uint(type, 2); __uint(max_entries, 1); __type(key, __u32); __type(value, __u64); } counts SEC(".maps");
const volatile int limit = 3;
static __noinline int twice(int n) { return n * limit; }
SEC("socket") int first(void *ctx)
{
	__u32 key = 0;
	__u64 *n = bpf_map_lookup_elem(&counts, &key);
	return n ? twice(*n) : 0;
}
SEC("xdp") int second(void *ctx) { bpf_printk("second"); return twice(2); }
`)
	raw := filepath.Join(t.TempDir(), "raw.o")
	args := []string{"-target", "bpfel", "-O2", "-g", "-Iinclude", "-c", source, "-o", raw}
	if out, err := exec.Command(cc.Path, args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	before, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	after, err := strip(before)
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.NewFile(bytes.NewReader(after))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range f.Sections {
		if strings.Contains(s.Name, ".debug") {
			t.Errorf("section %s is left", s.Name)
		}
	}
	if diff := cmp.Diff(listing(t, before), listing(t, after)); diff != "" {
		t.Errorf("(-before +after)\n%s", diff)
	}
}

// listing is all programs of an object, with their source lines, as text.
func listing(t *testing.T, object []byte) string {
	t.Helper()
	p, err := program.Read("test", bytes.NewReader(object))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, name := range []string{"first", "second"} {
		img, err := program.Link(p.Spec, name, &program.LinkOptions{NoHostTypes: true})
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString(img.Name + "\n")
		fmt.Fprintln(&out, img.Insns, img.Lines)
	}
	for _, m := range p.Spec.Maps {
		if m.Name == "counts" {
			out.WriteString(m.String())
		}
	}
	return out.String()
}

func TestCompileErrors(t *testing.T) {
	installedClang(t)
	for _, tt := range []struct {
		name, source string
		output       string // what clang says
		message      string // what skep says
	}{
		{"a plain mistake", types + "int f(void) { return nothing; }\n",
			"prog.bpf.c:10:22: error: use of undeclared identifier 'nothing'", "prog.bpf.c: clang finds an error"},
		{"two", "int f(void) { return a + b; }\n", "undeclared identifier 'b'", "clang finds 2 errors"},
		{"no types", "#include <bpf/bpf_helpers.h>\n", "unknown type name", `include "vmlinux.h" before`},
		{"no vmlinux.h", "#include \"vmlinux.h\"\n", "prog.bpf.c:1:10: fatal error: 'vmlinux.h' file not found", "with --btf FILE"},
		{"a system header", "#include <linux/nowhere.h>\n", "file not found", `include "vmlinux.h" in place of`},
		{"an unknown header", "#include \"mine.h\"\n", "file not found", "-- -I FOLDER"},
		{"no such header of libbpf", "#include <bpf/libbpf.h>\n", "file not found", "skep brings bpf_helpers.h"},
		{"a helper without its header", "int f(void) { return bpf_ktime_get_ns(); }\n", "bpf_ktime_get_ns", "helpers are declared in <bpf/bpf_helpers.h>"},
		{"a macro that types lack", types + "int f(int p) { return p == ETH_P_IP; }\n", "ETH_P_IP", "#define ETH_P_IP 0x0800"},
		{"both headers", "struct xdp_md { int x; };\n# 1 \"vmlinux.h\"\nstruct xdp_md { int x; };\n",
			"redefinition of 'xdp_md'", "leave the headers in linux/ away"},
		{"too much stack", types + `SEC("xdp") int f(void *ctx) { char a[600]; bpf_probe_read_kernel(a, 600, ctx); bpf_trace_printk(a, 600); return 0; }` + "\n",
			"stack", "512 bytes of stack"},
		{"a function of C's library", types + `SEC("xdp") int f(char **ctx) { __builtin_memcpy(ctx[0], ctx[1], (long)ctx[2]); return 0; }` + "\n",
			"built-in function 'memcpy' is not supported", "there is no C library for BPF"},
		{"a section's name", types + `SEC("tc") int tc(void *ctx) { return 0; }` + "\n",
			"tc", "a function cannot have its section's name"},
		{"a large array", types + `void g(char *); SEC("xdp") int f(int *ctx) { char a[*ctx]; g(a); return 0; }` + "\n",
			"dynamic stack allocation", "have a constant size"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Compile(t.Context(), write(t, "prog.bpf.c", tt.source), headersOf())
			var refused *Error
			if !errors.As(err, &refused) {
				t.Fatalf("got error %v", err)
			}
			if said := Plain(refused.Output); !strings.Contains(said, tt.output) {
				t.Errorf("clang says, without %q:\n%s", tt.output, said)
			}
			if !strings.Contains(err.Error(), tt.message) {
				t.Errorf("skep says %q, without %q", err, tt.message)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("skep says more than a sentence: %q", err)
			}
		})
	}
}

func TestCompileWarns(t *testing.T) {
	installedClang(t)
	object, err := Compile(t.Context(), write(t, "prog.bpf.c", types+"int f(void) { int unused; return 0; }\n"), headersOf())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(Plain(object.Warnings), "unused variable") {
		t.Errorf("warnings are %q", object.Warnings)
	}
}

func TestCompileIsCancelled(t *testing.T) {
	installedClang(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Compile(ctx, write(t, "prog.bpf.c", types), headersOf()); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v", err)
	}
}

// script makes a program for the shell in a folder.
func script(t *testing.T, dir, name, text string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("compilers of this test are scripts for a POSIX shell")
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFind(t *testing.T) {
	if runtime.GOOS == "darwin" {
		t.Skip("a clang outside of $PATH may be found")
	}
	says := func(version string) string { return "echo '" + version + "'\n" }
	for _, tt := range []struct {
		name    string
		folder  map[string]string // what is in $PATH
		env     string            // $CLANG, in that folder
		want    string
		message string
	}{
		{name: "none", message: "clang is not installed, and C sources need it: apt install clang (Debian, Ubuntu), dnf install clang (Fedora)"},
		{name: "one", folder: map[string]string{"clang": says("clang version 17.0.6")}, want: "clang"},
		{name: "the newest by its name", folder: map[string]string{
			"clang": says("Debian clang version 14.0.6"), "clang-9": says("clang version 9.0.1"), "clang-19": says("Debian clang version 19.1.7"),
		}, want: "clang-19"},
		{name: "the newest by its version", folder: map[string]string{
			"clang": says("clang version 20.1.0"), "clang-19": says("clang version 19.1.7"), "clang-tidy-21": says("LLVM 21"),
		}, want: "clang"},
		{name: "what is broken does not count", folder: map[string]string{
			"clang": "exit 1\n", "clang-18": says("clang version 18.1.0"),
		}, want: "clang-18"},
		{name: "all are broken", folder: map[string]string{"clang": "exit 1\n"}, message: "--version: exit status 1"},
		{name: "too old", folder: map[string]string{"clang": says("clang version 10.0.0")}, message: "is version 10, and 12 is the first"},
		{name: "no clang", folder: map[string]string{"clang": says("gcc (Debian) 14.2.0")}, message: `is not clang, it calls itself "gcc (Debian) 14.2.0"`},
		{name: "the one that is said", env: "mine", folder: map[string]string{
			"clang": says("clang version 20.1.0"), "mine": says("clang version 15.0.7"),
		}, want: "mine"},
		{name: "the one that is said is not there", env: "mine", message: "no clang that compiles for BPF: run "},
		{name: "the one that is said is too old", env: "mine", folder: map[string]string{"mine": says("clang version 9.0.1")},
			message: "is version 9, and 12 is the first"},
		{name: "Apple's", folder: map[string]string{"clang": says("Apple clang version 17.0.0 (clang-1700.0.13.3)")}, message: "is Apple's own"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range tt.folder {
				script(t, dir, name, text)
			}
			t.Setenv("PATH", dir)
			t.Setenv("CLANG", "")
			if tt.env != "" {
				t.Setenv("CLANG", filepath.Join(dir, tt.env))
			}
			cc, err := Find()
			switch {
			case tt.message == "" && err != nil:
				t.Fatal(err)
			case tt.message == "" && filepath.Base(cc.Path) != tt.want:
				t.Errorf("found %s, want %s", cc.Path, tt.want)
			case tt.message != "" && (err == nil || !strings.Contains(err.Error(), tt.message)):
				t.Errorf("got error %v, want %q in it", err, tt.message)
			}
		})
	}
}

// TestCached counts runs of clang.
func TestCached(t *testing.T) {
	cc := installedClang(t)
	if runtime.GOOS != "linux" {
		t.Skip("the cache is moved by XDG_CACHE_HOME, which is Linux's")
	}
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	t.Setenv("CLANG", script(t, dir, "clang", "[ \"$1\" = --version ] || echo run >> "+log+"\nexec "+cc.Path+" \"$@\"\n"))
	source, header := filepath.Join(dir, "a b.bpf.c"), filepath.Join(dir, "my header.h")
	put := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put(source, "#include \"my header.h\"\nint f(void) { int unused; return N; }\n")
	put(header, "#define N 1\n")
	runs := 0
	compile := func(flags ...string) *Object {
		t.Helper()
		object, err := Cached(t.Context(), source, headersOf(flags...))
		if err != nil {
			t.Fatal(err)
		}
		said, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		runs = strings.Count(string(said), "run")
		return object
	}

	first := compile()
	if second := compile(); runs != 1 || cmp.Diff(first, second) != "" {
		t.Errorf("%d runs of clang for the same source twice, and what came out differs:\n%s", runs, cmp.Diff(first, second))
	}
	if !strings.Contains(first.Warnings, "unused") {
		t.Errorf("warnings are %q", first.Warnings)
	}
	put(header, "#define N 2\n")
	if changed := compile(); runs != 2 || bytes.Equal(changed.Bytes, first.Bytes) {
		t.Errorf("%d runs of clang when a header has changed, want 2", runs)
	}
	if compile("-DX=1"); runs != 3 {
		t.Errorf("%d runs of clang with another flag, want 3", runs)
	}
	put(source, "int f(void) { return nothing; }\n")
	if _, err := Cached(t.Context(), source, headersOf()); err == nil {
		t.Error("an error in a source that was compiled before is not seen")
	}
}
