package vm_test

import (
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/world"
)

const kfuncWorld = `
current: {pid: 101}
processes:
- {pid: 1, comm: init, cgroup: /}
- pid: 100
  comm: nginx
  cgroup: /a/b
  threads: [{pid: 101, comm: worker}, {pid: 102}]
  memory: [{start: 0x4000, end: 0x5000}, {start: 0x1000, end: 0x3000}]
- {pid: 200, comm: sh, cgroup: /a}
cgroups:
- {path: /a, id: 5}
- {path: /a/b, id: 6, xattrs: {user.note: text}}
- {path: /a/c, id: 7}
`

// TestWorldKfuncs runs programs that ask of tasks and cgroups in a world.
func TestWorldKfuncs(t *testing.T) {
	const enodata, einval, eperm, erange, enoent = -61, -22, -1, -34, -2
	tests := map[string]struct {
		prog string
		in   [8]uint64
		ret  uint32
		want []int64
	}{
		"no cgroup":           {"cgroups", [8]uint64{99}, 1, []int64{0}},
		"above":               {"cgroups", [8]uint64{6, 1, 4, 0, 8}, 0, []int64{1, 1, 1, 1, 0, 4, eperm, 0, 3, 0, 1, 0, 3}},
		"itself":              {"cgroups", [8]uint64{6, 2, 2, 1, 3}, 0, []int64{1, 1, 1, 1, 0, erange, eperm, 0, 1, 1, 1, 0, 1}},
		"below, itself first": {"cgroups", [8]uint64{5, 0, 2, 3, 8}, 0, []int64{1, 1, 1, 1, 0, enodata, eperm, 0, 3, 0, 1, 0, 1}},
		"below, itself last":  {"cgroups", [8]uint64{1, 7, 3, 1, 8}, 0, []int64{1, 0, 0, 1, 0, enodata, eperm, 0, 4, 1, 0, 0, 1}},
		"another's":           {"cgroups", [8]uint64{7, 2, 9, 9, 8}, 0, []int64{1, 1, 0, 1, 0, enodata, eperm, einval, 0, 0, 0, einval, 0}},
		"processes":           {"tasks", [8]uint64{0, 0, 0}, 0, []int64{0, 3, 0, 0, 0, 2}},
		"threads":             {"tasks", [8]uint64{1, 0, 0x2fff}, 0, []int64{0, 5, 0, 1, 0, 2}},
		"threads of one":      {"tasks", [8]uint64{2, 1, 0x3000}, 0, []int64{0, 2, 0, 1, 0, 1}},
		"threads of none":     {"tasks", [8]uint64{2, 0, 0x5000}, 0, []int64{einval, 0, 0, 0, 0, 0}},
		"wrong flags":         {"tasks", [8]uint64{3, 1, 0}, 0, []int64{einval, 0, 0, 0, 0, 2}},
	}
	w, err := world.Parse("world.yaml", []byte(kfuncWorld))
	if err != nil {
		t.Fatal(err)
	}
	env := new(exec.Env)
	w.Into(env)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := worldRunner(t, tt.prog, env)
			got := r.do(t, &kfuncInput{In: tt.in})
			var want [64]int64
			copy(want[:], tt.want)
			if diff := cmp.Diff(want, got.Out); diff != "" || got.Ret != tt.ret {
				t.Errorf("returned %d, want %d; results -want +got\n%s", got.Ret, tt.ret, diff)
			}
		})
	}
	t.Run("no world", func(t *testing.T) {
		r := worldRunner(t, "tasks", nil)
		want := [64]int64{4: enoent}
		if diff := cmp.Diff(want, r.do(t, &kfuncInput{}).Out); diff != "" {
			t.Errorf("tasks: -want +got\n%s", diff)
		}
		r = worldRunner(t, "cgroups", nil)
		if got := r.do(t, &kfuncInput{In: [8]uint64{1}}); got.Ret != 1 {
			t.Errorf("there is a cgroup: %v", got.Out)
		}
	})
}

// worldRunner loads a program of testdata/kfunc/world.bpf.c.
func worldRunner(t *testing.T, prog string, env *exec.Env) runner {
	t.Helper()
	p, err := program.Open(filepath.Join("testdata", "kfunc", "world.bpf.o"))
	if err != nil {
		t.Fatal(err)
	}
	p.Spec.Programs = map[string]*ebpf.ProgramSpec{prog: p.Spec.Programs[prog]}
	coll, err := vm.NewCollectionWithOptions(p.Spec, vm.CollectionOptions{Programs: vm.ProgramOptions{Env: env}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(coll.Close)
	return runner{prog, coll.Programs[prog].Run, func(name string) variable { return coll.Variables[name] }}
}

// TestWorldKfuncsOfLinux holds what does not depend on which tasks and cgroups
// there are against the kernel: errors, and the cgroup above all.
func TestWorldKfuncsOfLinux(t *testing.T) {
	testenv.KernelFollowed(t, "iterators take other flags")
	w, err := world.New(&world.Description{
		Current:   world.Current{PID: 1},
		Processes: []world.Process{{PID: 1, Cgroup: "/", Memory: []world.Area{{Start: 0x1000, End: 0x2000}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	env := new(exec.Env)
	w.Into(env)
	compare := func(prog string, inputs [][8]uint64, same func(*kfuncResult)) {
		p, err := program.Open(filepath.Join("testdata", "kfunc", "world.bpf.o"))
		if err != nil {
			t.Fatal(err)
		}
		p.Spec.Programs = map[string]*ebpf.ProgramSpec{prog: p.Spec.Programs[prog]}
		coll, err := ebpf.NewCollection(p.Spec)
		if err != nil {
			t.Skipf("the running kernel does not take the program: %v", err)
		}
		defer coll.Close()
		kernel := runner{"kernel", coll.Programs[prog].Run, func(name string) variable { return coll.Variables[name] }}
		machine := worldRunner(t, prog, env)
		for _, in := range inputs {
			want, got := kernel.do(t, &kfuncInput{In: in}), machine.do(t, &kfuncInput{In: in})
			same(&want)
			same(&got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s on %d: kernel - / machine +\n%s", prog, in, diff)
			}
		}
	}
	var inputs [][8]uint64
	for flags := range uint64(6) {
		for _, level := range []uint64{0, 1, 1<<32 - 1} {
			inputs = append(inputs, [8]uint64{1, level, flags, flags, level & 16}, [8]uint64{1 << 40, level, flags})
		}
	}
	compare("cgroups", inputs, func(r *kfuncResult) {
		if r.Out[8] > 1 { // there are others below it
			r.Out[8], r.Out[9], r.Out[10] = 1, 1, 1
		}
		r.Out[12] = 0 // tasks
	})
	compare("tasks", [][8]uint64{{2, 0, 1 << 63}, {3, 0, 1 << 63}, {1 << 31, 1, 1 << 63}, {1<<32 + 3, 1, 1 << 63}}, func(*kfuncResult) {})
}
