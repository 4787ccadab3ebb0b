package kernel

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/suggest"
)

func init() { families["perf_event"] = planPerfEvent }

// perfEvents are the events that have names: type and config of struct perf_event_attr.
var perfEvents = map[string]map[string]uint64{
	"software": {
		"cpu-clock": unix.PERF_COUNT_SW_CPU_CLOCK, "task-clock": unix.PERF_COUNT_SW_TASK_CLOCK,
		"page-faults": unix.PERF_COUNT_SW_PAGE_FAULTS, "minor-faults": unix.PERF_COUNT_SW_PAGE_FAULTS_MIN,
		"major-faults": unix.PERF_COUNT_SW_PAGE_FAULTS_MAJ, "context-switches": unix.PERF_COUNT_SW_CONTEXT_SWITCHES,
		"cpu-migrations": unix.PERF_COUNT_SW_CPU_MIGRATIONS, "alignment-faults": unix.PERF_COUNT_SW_ALIGNMENT_FAULTS,
		"emulation-faults": unix.PERF_COUNT_SW_EMULATION_FAULTS, "bpf-output": unix.PERF_COUNT_SW_BPF_OUTPUT,
	},
	"hardware": {
		"cycles": unix.PERF_COUNT_HW_CPU_CYCLES, "instructions": unix.PERF_COUNT_HW_INSTRUCTIONS,
		"cache-references": unix.PERF_COUNT_HW_CACHE_REFERENCES, "cache-misses": unix.PERF_COUNT_HW_CACHE_MISSES,
		"branches": unix.PERF_COUNT_HW_BRANCH_INSTRUCTIONS, "branch-misses": unix.PERF_COUNT_HW_BRANCH_MISSES,
		"bus-cycles": unix.PERF_COUNT_HW_BUS_CYCLES, "ref-cycles": unix.PERF_COUNT_HW_REF_CPU_CYCLES,
		"stalled-cycles-frontend": unix.PERF_COUNT_HW_STALLED_CYCLES_FRONTEND, "stalled-cycles-backend": unix.PERF_COUNT_HW_STALLED_CYCLES_BACKEND,
	},
	"cache": cacheEvents(),
}

var perfTypes = map[string]uint32{"software": unix.PERF_TYPE_SOFTWARE, "hardware": unix.PERF_TYPE_HARDWARE, "cache": unix.PERF_TYPE_HW_CACHE}

// cacheEvents are named as perf list does: "L1-dcache-loads", "LLC-load-misses".
func cacheEvents() map[string]uint64 {
	caches := []string{"L1-dcache", "L1-icache", "LLC", "dTLB", "iTLB", "branch", "node"}
	operations := []string{"load", "store", "prefetch"}
	events := make(map[string]uint64)
	for cache, name := range caches {
		for op, operation := range operations {
			id := uint64(cache) | uint64(op)<<8
			events[name+"-"+operation+"s"] = id
			events[name+"-"+operation+"-misses"] = id | unix.PERF_COUNT_HW_CACHE_RESULT_MISS<<16
		}
	}
	return events
}

// perfSample is an event that is counted, and how often it has the program run.
type perfSample struct {
	attr unix.PerfEventAttr
	pid  int // 0: all processes
}

// parsePerfEvent reads TYPE/NAME@RATE, where the rate is a frequency (99hz) or a
// period (100000), with ,pid=N behind it for one process.
func parsePerfEvent(at hook.Point) (*perfSample, error) {
	target, pid, err := cutPID(at)
	if err != nil {
		return nil, err
	}
	event, rate, ok := strings.Cut(target, "@")
	typ, name, named := strings.Cut(event, "/")
	if !ok || !named {
		return nil, fmt.Errorf("%q: want an event and how often it has the program run, such as software/cpu-clock@99hz or hardware/cycles@1000000", target)
	}
	events, ok := perfEvents[typ]
	if !ok {
		return nil, fmt.Errorf("there are no %s events%s", typ, suggest.Name(typ, slices.Collect(maps.Keys(perfEvents))))
	}
	config, ok := events[name]
	if !ok {
		return nil, fmt.Errorf("there is no %s event %s%s", typ, name, suggest.Name(name, slices.Collect(maps.Keys(events))))
	}
	s := &perfSample{pid: pid, attr: unix.PerfEventAttr{
		Type: perfTypes[typ], Config: config, Sample_type: unix.PERF_SAMPLE_RAW,
	}}
	s.attr.Size = uint32(unix.PERF_ATTR_SIZE_VER5)
	digits, frequency := strings.CutSuffix(strings.ToLower(rate), "hz")
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || n == 0 {
		return nil, fmt.Errorf("%q: the rate %q is neither a frequency (99hz) nor a period (100000)", target, rate)
	}
	s.attr.Sample = n
	if frequency {
		s.attr.Bits = unix.PerfBitFreq
	}
	return s, nil
}

// planPerfEvent has the program run whenever an event was counted so often, on each CPU
// or in each thread that a process has now.
func planPerfEvent(_ *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	s, err := parsePerfEvent(at)
	if err != nil {
		return nil, err
	}
	return func() (io.Closer, error) { return s.attach(prog) }, nil
}

// attach opens the event and attaches the program to it.
func (s *perfSample) attach(prog *ebpf.Program) (io.Closer, error) {
	places, err := s.places()
	if err != nil {
		return nil, err
	}
	var all closers
	for _, at := range places {
		fd, err := unix.PerfEventOpen(&s.attr, at.thread, at.cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if at.thread >= 0 && errors.Is(err, unix.ESRCH) {
			continue // the thread has ended meanwhile
		}
		if err != nil {
			all.Close()
			return nil, fmt.Errorf("open perf event: %w", err)
		}
		event := os.NewFile(uintptr(fd), "perf event")
		l, err := link.AttachRawLink(link.RawLinkOptions{Target: fd, Program: prog, Attach: ebpf.AttachPerfEvent})
		switch {
		case err == nil:
			all = append(all, event, l)
			continue
		case errors.Is(err, unix.EINVAL) || errors.Is(err, link.ErrNotSupported): // before Linux 5.15
			if err = unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_SET_BPF, prog.FD()); err == nil {
				all = append(all, event)
				continue
			}
		}
		event.Close()
		all.Close()
		return nil, err
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("process %d has no threads any more", s.pid)
	}
	return all, nil
}

// place is what an event counts: a CPU, or a thread; -1 is any.
type place struct{ cpu, thread int }

func (s *perfSample) places() (all []place, err error) {
	if s.pid == 0 {
		cpus, err := onlineCPUs()
		for _, cpu := range cpus {
			all = append(all, place{cpu, -1})
		}
		return all, err
	}
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", s.pid))
	if err != nil {
		return nil, fmt.Errorf("threads of process %d: %w", s.pid, err)
	}
	for _, t := range threads {
		if id, err := strconv.Atoi(t.Name()); err == nil {
			all = append(all, place{-1, id})
		}
	}
	return all, nil
}

// onlineCPUs are the CPUs that the system uses now.
func onlineCPUs() ([]int, error) {
	const path = "/sys/devices/system/cpu/online"
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var cpus []int
	for part := range strings.SplitSeq(strings.TrimSpace(string(text)), ",") {
		first, last, ok := strings.Cut(part, "-")
		if !ok {
			last = first
		}
		from, err1 := strconv.Atoi(first)
		to, err2 := strconv.Atoi(last)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for cpu := from; cpu <= to; cpu++ {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}
