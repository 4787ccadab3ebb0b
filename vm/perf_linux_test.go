package vm

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/maps"
	"github.com/skep-ebpf/skep/vm/world"
)

// softwareEvent opens a software event of a thread or a CPU.
func softwareEvent(t *testing.T, pid, cpu int, config uint64) int {
	t.Helper()
	fd, err := unix.PerfEventOpen(&unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Size: unix.PERF_ATTR_SIZE_VER1, Config: config},
		pid, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		t.Skipf("open a performance event: %v", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// buf is where calls write on the stack, 32 bytes.
const buf = -32

// counterBuffer gives what goes before a call and behind it: room that is filled, and
// what became of it added to the result. Of times only whether there are any counts.
func counterBuffer() (fill, fold asm.Instructions) {
	fill = asm.Instructions{asm.Mov.Reg(asm.R6, asm.R1), asm.Mov.Imm(asm.R0, 1234)}
	for i := int16(0); i < 4; i++ {
		fill = append(fill, asm.StoreMem(asm.RFP, buf+8*i, asm.R0, asm.DWord))
	}
	fold = asm.Instructions{asm.LoadMem(asm.R1, asm.RFP, buf, asm.DWord), asm.Mul.Imm(asm.R0, 31), asm.Add.Reg(asm.R0, asm.R1)}
	for i, at := range []int16{buf + 8, buf + 16, buf + 24} {
		zero := fmt.Sprint("zero", i)
		fold = append(fold, asm.LoadMem(asm.R1, asm.RFP, at, asm.DWord), asm.Mul.Imm(asm.R0, 31),
			asm.JEq.Imm(asm.R1, 0, zero), asm.Add.Imm(asm.R0, 1), asm.Mov.Imm(asm.R1, 0).WithSymbol(zero))
	}
	return fill, append(fold, asm.Return())
}

// TestCountersAsInKernel reads the events in a perf event array on CPU 1.
func TestCountersAsInKernel(t *testing.T) {
	testenv.KernelFrom(t, 5, 10, "raw tracepoints had no test run")
	if runtime.NumCPU() < 2 {
		t.Skip("needs a second CPU to read another's events")
	}
	fill, fold := counterBuffer()
	tests := map[string]asm.Instructions{}
	for _, index := range []int{0, 1, 2, 1<<32 - 1, 1<<32 - 2, 1 << 32, 1<<32 + 9} {
		tests[fmt.Sprintf("perf_event_read %#x", index)] = append(callOf(asm.FnPerfEventRead, mapNamed("events"), index), asm.Return())
		for _, size := range []int{8, 24, 32} {
			tests[fmt.Sprintf("perf_event_read_value %#x, %d bytes", index, size)] =
				append(callOf(asm.FnPerfEventReadValue, mapNamed("events"), index, onStack(buf), size), fold...)
		}
		tests[fmt.Sprintf("perf_event_output %#x", index)] =
			append(callOf(asm.FnPerfEventOutput, theCtx{}, mapNamed("events"), index, onStack(buf), 8), asm.Return())
	}
	const dummy, samples = 9, 10 // PERF_COUNT_SW_DUMMY, PERF_COUNT_SW_BPF_OUTPUT
	// Index 1 has an event, and index 0 none.
	for _, event := range []struct {
		name string
		fd   int
		slot world.Slot
	}{
		{"its own CPU's", softwareEvent(t, -1, 1, dummy), world.Slot{Counter: world.Counter{Enabled: 5, Running: 5}}},
		{"another CPU's", softwareEvent(t, -1, 0, dummy), world.Slot{CPU: new(int)}},
		{"a reader's", softwareEvent(t, -1, 1, samples), world.Slot{}},
		{"another thread's", softwareEvent(t, 1, -1, dummy), world.Slot{PID: 1}},
	} {
		d := &world.Description{Current: world.Current{PID: 100}, Processes: []world.Process{{PID: 100}, {PID: 1}}}
		read := event.name == "a reader's"
		if !read {
			event.slot.Map, event.slot.Index = "events", 1
			d.Counters = append(d.Counters, event.slot)
		}
		w, err := world.New(d)
		if err != nil {
			t.Fatal(err)
		}
		env := new(exec.Env)
		w.Into(env)
		for name, insns := range tests {
			if read && (strings.Contains(name, "output") || strings.Contains(name, " 0x0")) {
				continue // what only readers that map their events can send; a reader has all CPUs
			}
			spec := func() *ebpf.CollectionSpec {
				return &ebpf.CollectionSpec{
					Maps: map[string]*ebpf.MapSpec{"events": {Name: "events", Type: ebpf.PerfEventArray, MaxEntries: 2}},
					Programs: map[string]*ebpf.ProgramSpec{
						"main": {Name: "main", Type: ebpf.RawTracepoint, License: "GPL", Instructions: append(fill[:len(fill):len(fill)], insns...)},
					},
				}
			}
			linux, err := ebpf.NewCollection(spec())
			if err != nil {
				t.Fatalf("%s: %+v", name, err)
			}
			if err := linux.Maps["events"].Put(uint32(1), uint32(event.fd)); err != nil {
				t.Fatal(err)
			}
			const onCPU = 1 // BPF_F_TEST_RUN_ON_CPU
			want, err := linux.Programs["main"].Run(&ebpf.RunOptions{CPU: 1, Flags: onCPU})
			if err != nil {
				t.Fatal(err)
			}
			machine, err := NewCollectionWithOptions(spec(), CollectionOptions{Programs: ProgramOptions{Env: env}})
			if err != nil {
				t.Fatal(err)
			}
			if read {
				if _, err := machine.Maps["events"].obj.Map.(*maps.PerfEventArray).Open(64, maps.PerfOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			got, err := machine.Programs["main"].Run(&ebpf.RunOptions{CPU: 1})
			if err != nil || got != want {
				t.Errorf("%s event, %s: %d, %v; in the kernel %d", event.name, name, int32(got), err, int32(want))
			}
			linux.Close()
			machine.Close()
		}
	}
}

// TestOwnEventAsInKernel asks of the event that a program runs for: page faults of this
// thread, with no record of branches.
func TestOwnEventAsInKernel(t *testing.T) {
	testenv.KernelFrom(t, 5, 15, "performance events had no links")
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fill, fold := counterBuffer()
	fold = fold[:len(fold)-1]
	tests := map[string]asm.Instructions{}
	for _, size := range []int{8, 24, 32} {
		tests[fmt.Sprint("perf_prog_read_value ", size)] = append(callOf(asm.FnPerfProgReadValue, theCtx{}, onStack(buf), size),
			// How many faults there were is Linux's to know.
			append(asm.Instructions{asm.LoadMem(asm.R1, asm.RFP, buf, asm.DWord), asm.RSh.Imm(asm.R1, 32),
				asm.StoreMem(asm.RFP, buf, asm.R1, asm.DWord)}, fold...)...)
	}
	for _, flags := range []int{0, 1, 2, 3} {
		for _, size := range []int{0, 8, 24} {
			tests[fmt.Sprintf("read_branch_records %d %d", size, flags)] =
				append(callOf(asm.FnReadBranchRecords, theCtx{}, onStack(buf), size, flags), fold...)
		}
		tests[fmt.Sprintf("read_branch_records NULL %d", flags)] = append(callOf(asm.FnReadBranchRecords, theCtx{}, 0, 0, flags), fold...)
	}
	w, err := world.New(&world.Description{Current: world.Current{Counter: &world.Counter{Enabled: 5, Running: 5}}})
	if err != nil {
		t.Fatal(err)
	}
	env := new(exec.Env)
	w.Into(env)
	for name, insns := range tests {
		insns = append(append(fill[:len(fill):len(fill)], insns...), asm.StoreMem(asm.RFP, -40, asm.R0, asm.DWord), asm.StoreImm(asm.RFP, -48, 0, asm.Word))
		insns = append(append(insns, callOf(asm.FnMapUpdateElem, mapNamed("result"), onStack(-48), onStack(-40), 0)...), asm.Mov.Imm(asm.R0, 0), asm.Return())
		spec := func() *ebpf.CollectionSpec {
			return &ebpf.CollectionSpec{
				Maps:     map[string]*ebpf.MapSpec{"result": {Name: "result", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1}},
				Programs: map[string]*ebpf.ProgramSpec{"main": {Name: "main", Type: ebpf.PerfEvent, License: "GPL", Instructions: insns}},
			}
		}
		linux, err := ebpf.NewCollection(spec())
		if err != nil {
			t.Fatalf("%s: %+v", name, err)
		}
		var want, got int64
		onPageFault(t, linux.Programs["main"])
		if err := linux.Maps["result"].Lookup(uint32(0), &want); err != nil {
			t.Fatal(err)
		}
		machine, err := NewCollectionWithOptions(spec(), CollectionOptions{Programs: ProgramOptions{Env: env}})
		if err != nil {
			t.Fatal(err)
		}
		if err := machine.Programs["main"].Exec(t.Context(), &Input{Ctx: make([]byte, machine.Programs["main"].obj.typ.CtxSize)}, new(Output)); err != nil {
			t.Fatal(err)
		}
		if err := machine.Maps["result"].Lookup(uint32(0), &got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s: %d, in the kernel %d (0: it did not run)", name, got, want)
		}
		linux.Close()
		machine.Close()
	}
}

// onPageFault runs a program for a page fault of this thread.
func onPageFault(t *testing.T, prog *ebpf.Program) {
	t.Helper()
	fd, err := unix.PerfEventOpen(&unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Size: unix.PERF_ATTR_SIZE_VER1,
		Config: unix.PERF_COUNT_SW_PAGE_FAULTS, Sample: 1}, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		t.Skipf("open a performance event: %v", err)
	}
	defer unix.Close(fd)
	l, err := link.AttachRawLink(link.RawLinkOptions{Target: fd, Program: prog, Attach: ebpf.AttachPerfEvent})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	page, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	page[0] = 1
	if err := unix.Munmap(page); err != nil {
		t.Fatal(err)
	}
}
