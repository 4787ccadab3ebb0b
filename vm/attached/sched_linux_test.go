package attached

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm"
	vmexec "github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/memory"
	"github.com/skep-ebpf/skep/vm/sched"
)

// schedCall is what sched.bpf.c notes of a call.
type schedCall struct {
	Which                            uint64
	Args                             [2]uint64
	Weight, Slice, Vtime, Now        uint64
	Queued, Result, Idle             uint64
	SliceAfter, VtimeAfter, NowAfter uint64
}

// What the numbers of calls mean.
const (
	schedSelect = iota + 1
	schedEnqueue
	schedDispatch
	schedRunning
	schedStopping
)

var schedPrograms = [...]string{schedSelect: "pick", schedEnqueue: "enqueue", schedDispatch: "dispatch", schedRunning: "running", schedStopping: "stopping"}

const sharedQueue = 7

// enough is how many calls of each operation are made again.
const enough = 6

// TestSchedulerLikeTheKernel has Linux run under a scheduler, and makes each call that
// it made again in the machine, with as many CPUs idle and tasks waiting.
func TestSchedulerLikeTheKernel(t *testing.T) {
	testenv.KernelFrom(t, 7, 2, "Debian's kernels had no sched_ext")
	for name, byTime := range map[string]bool{"by arrival": false, "by virtual time": true} {
		t.Run(name, func(t *testing.T) {
			calls := scheduled(t, byTime)
			seen := map[uint64]int{}
			for i, call := range calls {
				if call.Which == 0 {
					continue // Linux was in it when the notes were read
				}
				if seen[call.Which]++; seen[call.Which] > enough {
					continue
				}
				if diff := cmp.Diff(call, scheduleAgain(t, call, byTime)); diff != "" {
					t.Fatalf("call %d, %s: kernel - / machine +\n%s", i, schedPrograms[call.Which], diff)
				}
			}
			for which := schedSelect; which <= schedStopping; which++ {
				if which == schedSelect && runtime.NumCPU() == 1 {
					continue // there is nothing to select
				}
				if seen[uint64(which)] == 0 {
					t.Errorf("Linux did not call %s", schedPrograms[which])
				}
			}
		})
	}
}

func schedulerSpec(t *testing.T, byTime bool) *ebpf.CollectionSpec {
	t.Helper()
	p, err := program.Open(filepath.Join("testdata", "sched.bpf.o"))
	if err == nil {
		err = p.Spec.Variables["by_time"].Set(byTime)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p.Spec
}

// nameFunctions has calls of kernel functions name them by their numbers. By their
// names the loader finds two, scx_bpf_dsq_insert and its ___v2_impl.
func nameFunctions(t *testing.T, spec *ebpf.CollectionSpec) {
	t.Helper()
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]btf.TypeID{}
	for typ, err := range kernel.All() {
		if err != nil {
			t.Fatal(err)
		}
		if fn, ok := typ.(*btf.Func); ok && strings.HasPrefix(fn.Name, "scx_bpf_") {
			if ids[fn.Name], err = kernel.TypeID(fn); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, p := range spec.Programs {
		for i := range p.Instructions {
			if ins := &p.Instructions[i]; ins.IsKfuncCall() && ids[ins.Reference()] != 0 {
				*ins = asm.Instruction{OpCode: ins.OpCode, Src: ins.Src, Constant: int64(ids[ins.Reference()])}
			}
		}
	}
}

// scheduled gives the calls that Linux made of the scheduler while some processes ran.
func scheduled(t *testing.T, byTime bool) []schedCall {
	t.Helper()
	spec := schedulerSpec(t, byTime)
	nameFunctions(t, spec)
	linux := inKernel(t, spec)
	l, err := link.AttachStructOps(link.StructOpsOptions{Map: linux.Maps["scheduler"]})
	attach(t, l, err)
	var wait sync.WaitGroup
	for range 6 {
		wait.Go(func() {
			for until := time.Now().Add(300 * time.Millisecond); time.Now().Before(until); {
			}
			_ = exec.Command("/proc/self/exe", "-test.run", "^$").Run()
		})
	}
	wait.Wait()
	var calls [512]schedCall
	var ended int32
	if err := errors.Join(linux.Variables["calls"].Get(&calls), linux.Variables["ended"].Get(&ended)); err != nil {
		t.Fatal(err)
	}
	if ended != 0 {
		t.Fatalf("Linux ended the scheduler: kind %d", ended)
	}
	return calls[:]
}

// scheduleAgain makes one call in the machine, and gives its note.
func scheduleAgain(t *testing.T, call schedCall, byTime bool) schedCall {
	t.Helper()
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		t.Fatal(err)
	}
	m := memory.New(kernel)
	defer m.Close()
	task, err := m.Struct("task_struct", map[string]any{"pid": 100, "comm": "test", "scx": map[string]any{
		"weight": call.Weight, "slice": call.Slice, "dsq_vtime": call.Vtime,
	}})
	if err != nil {
		t.Fatal(err)
	}
	cpus := sched.New(8)
	for i := range 8 {
		cpus.CPU(i).Idle = call.Idle != 0 && uint64(i) == call.Result
	}
	cpus.Create(sharedQueue, -1)
	env := &vmexec.Env{Sched: cpus}
	if env.Objects, err = m.Objects(); err != nil {
		t.Fatal(err)
	}
	fill(cpus, call, byTime)
	coll := inMachine(t, schedulerSpec(t, byTime), env)
	defer coll.Close()
	if err := coll.Variables["vtime_now"].Set(call.Now); err != nil {
		t.Fatal(err)
	}
	args := []uint64{task, call.Args[0], call.Args[1]}
	if call.Which == schedDispatch {
		args = []uint64{call.Args[0], 0}
	}
	if err := coll.Programs[schedPrograms[call.Which]].Exec(t.Context(), &vm.Input{Ctx: words(args...)}, new(vm.Output)); err != nil {
		t.Fatal(err)
	}
	if e := cpus.Exit(); e != nil {
		t.Errorf("the machine ended the scheduler: %s", e.Message)
	}
	var calls [512]schedCall
	if err := coll.Variables["calls"].Get(&calls); err != nil {
		t.Fatal(err)
	}
	return calls[0]
}

// fill has as many tasks wait as there did.
func fill(cpus *sched.Sched, call schedCall, byTime bool) {
	for i := range call.Queued {
		var vtime *uint64
		if byTime {
			vtime = new(uint64)
		}
		waits := &sched.Task{Comm: fmt.Sprint("other", i), Allowed: func(int) bool { return call.Result != 0 }, CPU: 7}
		cpus.Begin("enqueue", waits, 7)
		cpus.Insert(waits, sharedQueue, vtime, 0)
		cpus.End(0)
	}
}
