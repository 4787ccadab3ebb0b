package kernel

import (
	"cmp"
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

// defaultRate is how often an event has a program run where nothing is said.
const defaultRate = "99hz"

// perfSample is an event that is counted, and how often it has the program run.
type perfSample struct {
	attr unix.PerfEventAttr
	pid  int // 0: all processes
	cpu  int // -1: all CPUs
}

// parsePerfEvent reads TYPE/NAME@RATE, where the rate is a frequency (99hz) or a
// period (100000), with ,pid=N and ,cpu=N behind it for one process and one CPU. The
// type may be left out, and the rate.
func parsePerfEvent(at hook.Point) (*perfSample, error) {
	target, limits, limited := strings.Cut(at.Target, ",")
	s := &perfSample{cpu: -1}
	if err := s.limit(at, limits, limited); err != nil {
		return nil, err
	}
	event, rate, ok := strings.Cut(target, "@")
	if !ok {
		rate = defaultRate
	}
	var err error
	s.attr.Size = uint32(unix.PERF_ATTR_SIZE_VER5)
	s.attr.Sample_type = unix.PERF_SAMPLE_RAW
	if s.attr.Type, s.attr.Config, err = findPerfEvent(event); err != nil {
		return nil, err
	}
	digits, frequency := strings.CutSuffix(strings.ToLower(rate), "hz")
	if s.attr.Sample, err = strconv.ParseUint(digits, 10, 63); err != nil || s.attr.Sample == 0 {
		return nil, fmt.Errorf("%s: the rate %q is neither a frequency (99hz) nor a period (100000)", at, rate)
	}
	if frequency {
		s.attr.Bits = unix.PerfBitFreq
	}
	return s, nil
}

// limit reads pid=N and cpu=N, which commas are between.
func (s *perfSample) limit(at hook.Point, limits string, limited bool) error {
	for limited {
		var one string
		one, limits, limited = strings.Cut(limits, ",")
		name, digits, _ := strings.Cut(one, "=")
		n, err := strconv.Atoi(digits)
		switch {
		case name == "pid" && err == nil && n > 0:
			s.pid = n
		case name == "cpu" && err == nil && n >= 0:
			s.cpu = n
		default:
			return fmt.Errorf("%s: %q is neither a process (pid=123) nor a CPU (cpu=0)", at, one)
		}
	}
	return nil
}

// findPerfEvent finds an event by TYPE/NAME or its name alone.
func findPerfEvent(event string) (typ uint32, config uint64, err error) {
	kind, name, typed := strings.Cut(event, "/")
	if typed && perfEvents[kind] == nil {
		return 0, 0, fmt.Errorf("there are no %s events%s", kind, suggest.Name(kind, slices.Collect(maps.Keys(perfEvents))))
	}
	if !typed {
		kind, name = "", event
	}
	var names []string
	for of, events := range perfEvents {
		if kind != "" && kind != of {
			continue
		}
		if config, ok := events[name]; ok {
			return perfTypes[of], config, nil
		}
		names = slices.AppendSeq(names, maps.Keys(events))
	}
	return 0, 0, fmt.Errorf("there is no %s event %s%s", cmp.Or(kind, "perf"), name, suggest.Name(name, names))
}

// planPerfEvent has the program run whenever an event was counted so often, on each CPU
// or in each thread that a process has now.
func planPerfEvent(_ *Collection, prog *ebpf.Program, at hook.Point) (func() (io.Closer, error), error) {
	s, err := parsePerfEvent(at)
	if err != nil {
		return nil, err
	}
	places, err := s.places()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	return func() (io.Closer, error) { return s.attach(prog, places) }, nil
}

// attach opens the event and attaches the program to it.
func (s *perfSample) attach(prog *ebpf.Program, places []place) (io.Closer, error) {
	var all closers
	for _, at := range places {
		fd, err := unix.PerfEventOpen(&s.attr, at.thread, at.cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if at.thread >= 0 && errors.Is(err, unix.ESRCH) {
			continue // the thread has ended meanwhile
		}
		if err != nil {
			all.Close()
			return nil, s.explain(err)
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

// explain says why an event cannot be opened.
func (s *perfSample) explain(err error) error {
	counted := s.attr.Type == unix.PERF_TYPE_HARDWARE || s.attr.Type == unix.PERF_TYPE_HW_CACHE
	switch {
	case counted && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EOPNOTSUPP)):
		return fmt.Errorf("the processor does not count this event, or shows no counters to this system, as in most virtual machines: software/cpu-clock is everywhere: %w", err)
	case errors.Is(err, unix.EINVAL) && s.attr.Bits&unix.PerfBitFreq != 0 && s.attr.Sample > maxSampleRate():
		return fmt.Errorf("a program may not run at %dhz, %d times a second is the most (sysctl kernel.perf_event_max_sample_rate): %w", s.attr.Sample, maxSampleRate(), err)
	}
	return fmt.Errorf("open perf event: %w", err)
}

// maxSampleRate is how often a second the kernel lets events be sampled; 0: it does not
// tell.
func maxSampleRate() uint64 {
	text, err := os.ReadFile("/proc/sys/kernel/perf_event_max_sample_rate")
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// place is what an event counts: a CPU, or a thread; -1 is any.
type place struct{ cpu, thread int }

func (s *perfSample) places() (all []place, err error) {
	cpus, err := onlineCPUs()
	if err != nil {
		return nil, err
	}
	if s.cpu >= 0 && !slices.Contains(cpus, s.cpu) {
		return nil, fmt.Errorf("there is no CPU %d; there is %s", s.cpu, strings.Trim(fmt.Sprint(cpus), "[]"))
	}
	if s.pid == 0 {
		for _, cpu := range cpus {
			if s.cpu < 0 || s.cpu == cpu {
				all = append(all, place{cpu, -1})
			}
		}
		return all, nil
	}
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", s.pid))
	if err != nil {
		return nil, fmt.Errorf("threads of process %d: %w", s.pid, err)
	}
	for _, t := range threads {
		if id, err := strconv.Atoi(t.Name()); err == nil {
			all = append(all, place{s.cpu, id})
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
