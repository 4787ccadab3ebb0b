package kernel

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/testenv"
)

// busy uses time and memory, and gives the CPU up now and then, until something is so.
func busy(t *testing.T, enough func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !enough(); {
		if time.Now().After(end) {
			return
		}
		b, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(b); i += os.Getpagesize() {
			b[i] = 1
		}
		unix.Munmap(b)
		unix.Nanosleep(&unix.Timespec{Nsec: 1000}, nil)
	}
}

// TestPerfEvent samples this process: by frequency and by period, with and without the
// event's type, on all CPUs and on one.
func TestPerfEvent(t *testing.T) {
	testenv.Kernel(t)
	pid := fmt.Sprintf(",pid=%d", os.Getpid())
	for _, event := range []string{
		"software/cpu-clock@999hz", "software/cpu-clock@1000000", "cpu-clock", "task-clock@1000hz", "software/task-clock@500000",
		"software/page-faults@1", "minor-faults@10", "context-switches@1",
	} {
		t.Run("perf_event/"+event, func(t *testing.T) {
			runtime.LockOSThread() // the event counts the threads that there are
			defer runtime.UnlockOSThread()
			hits := attached(t, counting("perf_event", ebpf.PerfEvent, 0, "", 0), "perf_event/"+event+pid)
			busy(t, func() bool { return hits() > 0 })
			if hits() == 0 {
				t.Error("the program did not run")
			}
		})
	}
	t.Run("on one CPU", func(t *testing.T) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		var were, one unix.CPUSet
		if err := unix.SchedGetaffinity(0, &were); err != nil {
			t.Fatal(err)
		}
		defer unix.SchedSetaffinity(0, &were)
		cpus, err := onlineCPUs()
		if err != nil {
			t.Fatal(err)
		}
		one.Set(cpus[0])
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			t.Fatal(err)
		}
		hits := attached(t, counting("perf_event", ebpf.PerfEvent, 0, "", 0), fmt.Sprintf("perf_event/page-faults@1%s,cpu=%d", pid, cpus[0]))
		busy(t, func() bool { return hits() > 0 })
		if hits() == 0 {
			t.Error("the program did not run")
		}
	})
}

// Events that the processor counts have programs run where it shows its counters, and
// elsewhere it is said why they cannot.
func TestPerfEventCounters(t *testing.T) {
	testenv.Kernel(t)
	for _, event := range []string{"hardware/cycles@100000", "instructions@999hz", "cache/L1-dcache-loads@100000", "branch-misses@1000"} {
		t.Run("perf_event/"+event, func(t *testing.T) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			at, err := hook.Parse(fmt.Sprintf("perf_event/%s,pid=%d", event, os.Getpid()))
			if err != nil {
				t.Fatal(err)
			}
			c, err := Load(counting("perf_event", ebpf.PerfEvent, 0, "", 0), &Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, err = c.Attach([]hook.Attachment{{Program: "count", Point: at}})
			if err != nil && strings.Contains(err.Error(), "the processor does not count this event, or shows no counters to this system") {
				t.Skip("needs a processor that shows its counters (PMU), which virtual machines mostly do not")
			}
			if err != nil {
				t.Fatal(err)
			}
			var n uint64
			hits := func() bool { return c.Maps["hits"].Lookup(uint32(0), &n) == nil && n > 0 }
			busy(t, hits)
			if !hits() {
				t.Error("the program did not run")
			}
		})
	}
}

func TestPerfEventRefused(t *testing.T) {
	testenv.Kernel(t)
	c, err := Load(counting("perf_event", ebpf.PerfEvent, 0, "", 0), &Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for target, want := range map[string]string{
		"cpu-clok":                   "there is no perf event cpu-clok; did you mean cpu-clock?",
		"software/cycles":            "there is no software event cycles",
		"softwear/cpu-clock":         "there are no softwear events; did you mean software?",
		"cache/L1-dcache-load":       "there is no cache event L1-dcache-load; did you mean L1-dcache-loads?",
		"cpu-clock@often":            `the rate "often" is neither a frequency (99hz) nor a period (100000)`,
		"cpu-clock@0hz":              `the rate "0hz" is neither`,
		"cpu-clock@99hz,tid=1":       `"tid=1" is neither a process (pid=123) nor a CPU (cpu=0)`,
		"cpu-clock@99hz,cpu=999":     "there is no CPU 999; there is 0",
		"cpu-clock@99hz,pid=4194305": "threads of process 4194305",
		"cpu-clock@1000000000hz,cpu=0,pid=" + fmt.Sprint(os.Getpid()): "a program may not run at 1000000000hz",
	} {
		at, err := hook.Parse("perf_event/" + target)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Attach([]hook.Attachment{{Program: "count", Point: at}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", target, err, want)
		}
	}
}
