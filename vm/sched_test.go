package vm_test

import (
	"encoding/binary"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/memory"
	"github.com/skep-ebpf/skep/vm/sched"
)

// TestScheduler calls a scheduler's operations one after another: a task comes into
// its queue and leaves it for a CPU.
func TestScheduler(t *testing.T) {
	p, err := program.Open(filepath.Join("attached", "testdata", "sched.bpf.o"))
	if err != nil {
		t.Fatal(err)
	}
	types := p.Spec.Types // which are like Linux's
	m := memory.New(types)
	defer m.Close()
	cpus, err := m.Value("u64", 2) // a mask of CPU 1
	if err != nil {
		t.Fatal(err)
	}
	task, err := m.Struct("task_struct", map[string]any{
		"pid": 7, "comm": "curl", "cpus_ptr": cpus, "scx": map[string]any{"weight": 200, "slice": 5, "dsq_vtime": 30},
	})
	if err != nil {
		t.Fatal(err)
	}
	env := &exec.Env{Sched: sched.New(2)}
	if env.Objects, err = m.Objects(); err != nil {
		t.Fatal(err)
	}
	opts := vm.CollectionOptions{Programs: vm.Unverified(vm.ProgramOptions{Env: env})} // Linux's structure is not there
	opts.Programs.Link.KernelTypes = types
	spec := p.Spec.Copy()
	if err := spec.Variables["by_time"].Set(true); err != nil {
		t.Fatal(err)
	}
	coll, err := vm.NewCollectionWithOptions(spec, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer coll.Close()
	for _, step := range []struct {
		prog string
		args []uint64
		ret  uint32
		did  []string
	}{
		{"init", nil, 0, []string{"scx_bpf_create_dsq(7: 0)"}},
		{"init", nil, 1<<32 - 17, []string{"scx_bpf_create_dsq(7: -17)"}},
		{"pick", []uint64{task, 0, 0}, 1, []string{"scx_bpf_dsq_insert(curl[7], SCX_DSQ_LOCAL, 20ms, flags 0x0)"}},
		{"enqueue", []uint64{task, 1}, 0, []string{"scx_bpf_dsq_insert_vtime(curl[7], 7, 20ms, vtime 30, flags 0x1)"}},
		{"dispatch", []uint64{0, 0}, 0, []string{"scx_bpf_dsq_move_to_local(7: false)"}}, // where it may not run
		{"dispatch", []uint64{1, 0}, 0, []string{"scx_bpf_dsq_move_to_local(7: true)"}},
		{"running", []uint64{task}, 0, nil},
		{"stopping", []uint64{task, 0}, 0, nil},
	} {
		if step.prog == "enqueue" {
			env.Sched.Next(1) // it ran
		}
		out := new(vm.Output)
		if err := coll.Programs[step.prog].Exec(t.Context(), &vm.Input{Ctx: wordsOf(step.args)}, out); err != nil {
			t.Fatalf("%s: %v", step.prog, err)
		}
		var did []string
		for _, e := range out.Effects {
			did = append(did, e.String())
		}
		if diff := cmp.Diff(step.did, did); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.prog, diff)
		}
		if (step.prog == "init" || step.prog == "pick") && out.Ret != step.ret {
			t.Errorf("%s returned %d, want %d", step.prog, int32(out.Ret), int32(step.ret))
		}
	}
	if next := env.Sched.Next(1); next == nil || next.Addr != task {
		t.Errorf("CPU 1 runs %v", next)
	}
	if e := env.Sched.Exit(); e != nil {
		t.Errorf("the scheduler ended: %+v", e)
	}
	if slice := binary.NativeEndian.Uint64(m.Field(task, "task_struct", "scx.slice")); slice != 20e6 {
		t.Errorf("slice %d", slice)
	}
}

func wordsOf(args []uint64) (ctx []byte) {
	for _, a := range args {
		ctx = binary.NativeEndian.AppendUint64(ctx, a)
	}
	return ctx
}
