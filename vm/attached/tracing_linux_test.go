package attached

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/exec"
)

// calls are those that Linux makes of functions of its own when a tracing program
// is test-run: the arguments, the result, and the arguments' sizes in bytes. Of
// the words that hold them the rest is arbitrary.
var calls = []struct {
	function string
	args     []uint64
	sizes    []int
	ret      uint64
}{
	{"bpf_fentry_test1", []uint64{1}, []int{4}, 2},
	{"bpf_fentry_test2", []uint64{2, 3}, []int{4, 8}, 5},
	{"bpf_fentry_test3", []uint64{4, 5, 6}, []int{1, 4, 8}, 15},
	{"bpf_fentry_test4", []uint64{7, 8, 9, 10}, []int{8, 1, 4, 8}, 34},
	{"bpf_fentry_test5", []uint64{11, 12, 13, 14, 15}, []int{8, 8, 2, 4, 8}, 65},
	{"bpf_fentry_test6", []uint64{16, 17, 18, 19, 20, 21}, []int{8, 8, 2, 4, 8, 8}, 111},
}

// words is a context of numbers.
func words(of ...uint64) (ctx []byte) {
	for _, w := range of {
		ctx = binary.NativeEndian.AppendUint64(ctx, w)
	}
	return ctx
}

// low keeps the bytes of a number that an argument of a size has.
func low(v int64, size int) int64 { return v & (1<<(8*size-1)<<1 - 1) }

// TestFunctions attaches to the functions that a test run calls.
func TestFunctions(t *testing.T) {
	for _, prog := range []string{"entered", "left", "asked", "asked_left"} {
		for i, call := range calls {
			if testing.Short() && 0 < i && i < len(calls)-1 {
				continue
			}
			t.Run(prog+"/"+call.function, func(t *testing.T) {
				spec := open(t, "tracing", prog, call.function)
				if v := spec.Variables["words"]; v != nil {
					if err := v.Set(uint32(len(call.args))); err != nil {
						t.Fatal(err)
					}
				}
				linux := inKernel(t, spec.Copy())
				l, err := link.AttachTracing(options(prog, linux.Programs[prog], spec.Programs[prog].AttachType))
				attach(t, l, err)
				if _, err := linux.Programs[prog].Run(&ebpf.RunOptions{}); err != nil {
					t.Fatal(err)
				}
				want := find(t, linux.Variables)

				machine := inMachine(t, spec, nil)
				ctx, leaves := call.args, spec.Programs[prog].AttachType == ebpf.AttachTraceFExit
				if leaves {
					ctx = append(slices.Clone(ctx), call.ret)
				}
				err = machine.Programs[prog].Exec(t.Context(), &vm.Input{Ctx: words(ctx...), Trace: exec.Trace{
					IP: address(t, call.function), Cookie: cookie(prog), Args: len(call.args), HasRet: leaves,
				}}, new(vm.Output))
				if err != nil {
					t.Fatal(err)
				}
				got := find(t, machine.Variables)
				for _, f := range []*found{&want, &got} {
					for i, size := range call.sizes {
						if at := i; cookie(prog) == 0 {
							f.Out[at] = low(f.Out[at], size)
						} else {
							f.Out[2*i+1] = low(f.Out[2*i+1], size)
						}
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("kernel - / machine +\n%s", diff)
				}
			})
		}
	}
}

// cookie is that of programs that ask for it: older kernels attach none.
func cookie(prog string) uint64 {
	if strings.HasPrefix(prog, "asked") {
		return 0x1234_5678_9abc
	}
	return 0
}

// options attach a program the way that takes a cookie where it asks for one, and
// the way that older kernels have where it does not.
func options(prog string, p *ebpf.Program, at ebpf.AttachType) link.TracingOptions {
	if cookie(prog) == 0 {
		return link.TracingOptions{Program: p}
	}
	return link.TracingOptions{Program: p, AttachType: at, Cookie: cookie(prog)}
}

// TestReplacedResult attaches a program in place of a function, which runs only
// if the program returns 0.
func TestReplacedResult(t *testing.T) {
	const prog = "replaced"
	spec := open(t, "tracing", prog, "")
	linux := inKernel(t, spec.Copy())
	l, err := link.AttachTracing(link.TracingOptions{Program: linux.Programs[prog]})
	attach(t, l, err)
	run := func(ret uint64) (uint32, found) {
		t.Helper()
		give(t, linux.Variables, ret)
		got, err := linux.Programs[prog].Run(&ebpf.RunOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return got, find(t, linux.Variables)
	}
	// The lower half is the sum of results, of which the function's own is 4, the
	// upper half how many functions ran.
	undisturbed, _ := run(0)
	for _, ret := range []uint64{0, 1, 5, 0x7fff, 1<<32 - 2} {
		linuxRet, want := run(ret)
		machine := inMachine(t, spec.Copy(), nil)
		give(t, machine.Variables, ret)
		var out vm.Output
		if err := machine.Programs[prog].Exec(t.Context(), &vm.Input{Ctx: words(1, 0, 0)}, &out); err != nil {
			t.Fatal(err)
		}
		machineRet := undisturbed
		if out.Ret != 0 {
			machineRet = undisturbed - 1<<16&^0xffff
			machineRet = machineRet&^0xffff | uint32(uint16(undisturbed-4+out.Ret))
		}
		if diff := cmp.Diff(want, find(t, machine.Variables)); diff != "" || linuxRet != machineRet {
			t.Errorf("program returns %#x: the test run gives %#x, should %#x; kernel - / machine +\n%s", ret, linuxRet, machineRet, diff)
		}
	}
}

// truncation is a truncation by this process, and what describes it to a program.
type truncation struct {
	name         string
	directory    bool
	size, length int64
}

var truncations = []truncation{
	{name: "shorter", size: 100, length: 7},
	{name: "longer", size: 3, length: 70000},
	{name: "a-name-of-forty-letters-that-goes-on-and-on", size: 1, length: 1},
	{name: "directory", directory: true, length: 5},
}

// do truncates, and gives the description of the event: the file as it is then,
// and the result.
func (tr *truncation) do(t *testing.T) (result int64, mode, size int64) {
	t.Helper()
	path := filepath.Join(t.TempDir(), tr.name)
	var err error
	if tr.directory {
		err = os.Mkdir(path, 0o700)
	} else {
		err = os.WriteFile(path, make([]byte, tr.size), 0o640)
	}
	if err != nil {
		t.Fatal(err)
	}
	result = errnoOf(os.Truncate(path, tr.length))
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	mode = 0o100640
	if tr.directory {
		mode = 0o040700
	}
	return result, mode, info.Size()
}

// TestFunctionOfOurCall attaches behind a function that the test has Linux call,
// and follows its argument.
func TestFunctionOfOurCall(t *testing.T) {
	const prog = "truncated"
	spec := open(t, "tracing", prog, "")
	linux := inKernel(t, spec.Copy())
	l, err := link.AttachTracing(link.TracingOptions{Program: linux.Programs[prog]})
	attach(t, l, err)
	for _, tr := range truncations {
		t.Run(tr.name, func(t *testing.T) {
			give(t, linux.Variables)
			result, mode, size := tr.do(t)
			want := find(t, linux.Variables)
			_, got := runOn(t, spec.Copy(), prog, fmt.Sprintf(`
path: {dentry: {d_name: {name: %s}, d_inode: {i_mode: %d, i_size: %d}}}
length: %d
ret: %d`, tr.name, mode, size, tr.length, result), exec.Trace{})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("kernel - / machine +\n%s", diff)
			}
		})
	}
}

// TestProbes attaches to a function's entry and return by breakpoints.
func TestProbes(t *testing.T) {
	const function, cookie = "vfs_truncate", 0x1234_5678_9abc
	for _, prog := range []string{"probed", "probed_where", "returned"} {
		t.Run(prog, func(t *testing.T) {
			spec := open(t, "tracing", prog, "")
			linux := inKernel(t, spec.Copy())
			opts := new(link.KprobeOptions)
			if prog == "probed_where" {
				opts.Cookie = cookie
			}
			kprobe := link.Kprobe
			if prog == "returned" {
				kprobe = link.Kretprobe
			}
			l, err := kprobe(function, linux.Programs[prog], opts)
			attach(t, l, err)
			for _, tr := range truncations {
				give(t, linux.Variables)
				result, mode, _ := tr.do(t)
				want := find(t, linux.Variables)
				size := tr.size
				if tr.directory {
					size = want.Out[6] // is the file system's choice
				}
				_, got := runOn(t, spec.Copy(), prog, fmt.Sprintf(`
arg1: "&path"
arg2: %d
ret: %d
memory:
- name: path
  type: struct path
  value: {dentry: {d_name: {name: %s}, d_inode: {i_mode: %d, i_size: %d}}}`, tr.length, result, tr.name, mode, size),
					exec.Trace{IP: address(t, function), Cookie: opts.Cookie})
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s: kernel - / machine +\n%s", tr.name, diff)
				}
			}
		})
	}
}
