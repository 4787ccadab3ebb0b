package attached

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/ctxfile"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// found is what a program leaves in its variables.
type found struct {
	Out  [64]int64
	Text [2][64]byte
}

// open gives one program of testdata, with its maps. Attached to something else
// than its section says if to is not "".
func open(t *testing.T, object, prog, to string) *ebpf.CollectionSpec {
	t.Helper()
	p, err := program.Open(filepath.Join("testdata", object+".bpf.o"))
	if err != nil {
		t.Fatal(err)
	}
	spec, err := program.Subset(p.Spec, prog)
	if err != nil {
		t.Fatal(err)
	}
	if to != "" {
		spec.Programs[prog].AttachTo = to
	}
	return spec
}

// since is the Linux that programs need, where it is younger than the oldest that they
// are run in, and what it was like before.
var since = map[string]struct {
	major, minor int
	before       string
}{
	"encapsulate":   {6, 12, "the verifier did not see the bounds that clang saw"},
	"tasks":         {5, 11, "tasks had no storage"},
	"cgroups":       {6, 2, "cgroups had no storage"},
	"begin":         {6, 4, "structures of operations had no links"},
	"asked":         {5, 17, "programs could not ask for arguments by number"},
	"asked_left":    {5, 17, "programs could not ask for arguments by number"},
	"replaced":      {6, 3, "only functions with error injection could be replaced"},
	"entered_user":  {6, 7, "functions of processes had no address for programs"},
	"left_user":     {6, 7, "functions of processes had no address for programs"},
	"entered_multi": {6, 6, "functions of processes were attached to one by one"},
	"left_multi":    {6, 6, "functions of processes were attached to one by one"},
	"filter":        {6, 4, "netfilter ran no programs"},
	"probed_where":  {5, 15, "programs could not ask where they are"},
}

// inKernel loads programs into Linux, or skips the test where Linux refuses them.
func inKernel(t *testing.T, spec *ebpf.CollectionSpec) *ebpf.Collection {
	t.Helper()
	testenv.Kernel(t)
	for name := range spec.Programs {
		if v, ok := since[name]; ok {
			testenv.KernelFrom(t, v.major, v.minor, v.before)
		}
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		t.Skipf("the running kernel does not take the program (make vm runs kernels that do): %v", err)
	}
	t.Cleanup(coll.Close)
	return coll
}

// attach closes what link gave when the test ends, or skips the test where Linux
// does not attach.
func attach(t *testing.T, l link.Link, err error) {
	t.Helper()
	if err != nil {
		t.Skipf("the running kernel does not attach the program (make vm runs kernels that do): %v", err)
	}
	t.Cleanup(func() { l.Close() })
}

// inMachine loads programs into the machine.
func inMachine(t *testing.T, spec *ebpf.CollectionSpec, env *exec.Env) *vm.Collection {
	t.Helper()
	coll, err := vm.NewCollectionWithOptions(spec, vm.CollectionOptions{Programs: vm.ProgramOptions{Env: env}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(coll.Close)
	return coll
}

// variable is one of a collection on either machine.
type variable interface {
	Set(any) error
	Get(any) error
}

// give sets a program's input: numbers, of which the last is this process, and
// clears what it found before.
func give[V variable](t *testing.T, vars map[string]V, in ...uint64) {
	t.Helper()
	all := [8]uint64{7: uint64(os.Getpid())}
	copy(all[:7], in)
	for name, value := range map[string]any{"in": all, "out": found{}.Out, "text": found{}.Text} {
		if v, ok := vars[name]; ok {
			if err := v.Set(value); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func find[V variable](t *testing.T, vars map[string]V) (f found) {
	t.Helper()
	for name, value := range map[string]any{"out": &f.Out, "text": &f.Text} {
		if v, ok := vars[name]; ok {
			if err := v.Get(value); err != nil {
				t.Fatal(err)
			}
		}
	}
	return f
}

// describe makes a context of a description, as docs/contexts.md has it.
func describe(t *testing.T, spec *ebpf.ProgramSpec, text string) *ctxfile.Context {
	t.Helper()
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		t.Skipf("the context is of the running kernel's types: %v", err)
	}
	typ, err := progtype.ForAttach(spec.Type, spec.AttachType)
	if err != nil {
		t.Fatal(err)
	}
	ctx, err := ctxfile.Parse("ctx.yaml", []byte(text), &ctxfile.Target{
		Type: typ, Attach: spec.AttachType, AttachTo: spec.AttachTo, Kernel: kernel,
	})
	if err != nil {
		t.Fatal(err)
	}
	return ctx
}

// runOn runs a program of testdata in the machine on a described context, and
// gives its result and what it found.
func runOn(t *testing.T, spec *ebpf.CollectionSpec, prog, text string, trace exec.Trace, in ...uint64) (uint32, found) {
	t.Helper()
	ctx := describe(t, spec.Programs[prog], text)
	env := new(exec.Env)
	if err := ctx.Into(env); err != nil {
		t.Fatal(err)
	}
	coll := inMachine(t, spec, env)
	give(t, coll.Variables, in...)
	var result vm.Output
	if err := coll.Programs[prog].Exec(t.Context(), &vm.Input{Ctx: ctx.Ctx, Trace: trace}, &result); err != nil {
		t.Fatal(err)
	}
	return result.Ret, find(t, coll.Variables)
}

// address is where a function of the running kernel's is.
func address(t *testing.T, function string) uint64 {
	t.Helper()
	f, err := os.Open("/proc/kallsyms")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) == 3 && fields[2] == function {
			addr, err := strconv.ParseUint(fields[0], 16, 64)
			if err != nil || addr == 0 {
				break
			}
			return addr
		}
	}
	t.Fatal(fmt.Errorf("no address of %s in /proc/kallsyms", function))
	return 0
}
