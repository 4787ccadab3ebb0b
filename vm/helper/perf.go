package helper

import (
	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/maps"
)

const (
	asksCounters = "counters"
	asksBranches = "branches"
)

func init() {
	register(
		&Helper{ID: 22, Name: "bpf_perf_event_read", Func: perfEventRead, Asks: asksCounters,
			Args: []Arg{ArgConstMapPtr, ArgAnything}},
		&Helper{ID: 55, Name: "bpf_perf_event_read_value", Func: perfEventReadValue, Asks: asksCounters,
			Args: []Arg{ArgConstMapPtr, ArgAnything, ArgPtrToUninitMem, ArgConstSize}},
		&Helper{ID: 56, Name: "bpf_perf_prog_read_value", Func: perfProgReadValue, Asks: asksCounters,
			Args: []Arg{ArgPtrToCtx, ArgPtrToUninitMem, ArgConstSize}},
		&Helper{ID: 119, Name: "bpf_read_branch_records", Func: readBranchRecords, Asks: asksBranches,
			Args: []Arg{ArgPtrToCtx, ArgPtrToUninitMemOrNull, ArgConstSizeOrZero, ArgAnything}},
		&Helper{ID: 176, Name: "bpf_get_branch_snapshot", Func: branchSnapshot, Asks: asksBranches,
			Args: []Arg{ArgPtrToUninitMem, ArgConstSizeOrZero, ArgAnything}},
	)
}

// counterAt is the event at an index of a perf event array; nil: none.
func counterAt(s *exec.State, m *maps.PerfEventArray, index uint64) *exec.Counter {
	if s.Env.Perf != nil {
		if c := s.Env.Perf.Counter(m.Info().Name, uint32(index)); c != nil {
			return c
		}
	}
	if m.Attached(index) { // a reader's event has been there all the time, and counts nothing
		return &exec.Counter{CPU: int(index), Read: func() exec.CounterValue {
			now := uint64(s.Env.Now())
			return exec.CounterValue{Enabled: now, Running: now}
		}}
	}
	return nil
}

// perfIndex is the index that flags name.
func perfIndex(s *exec.State, flags uint64) uint64 {
	if index := flags & maps.PerfIndexMask; index != maps.PerfCurrentCPU {
		return index
	}
	return uint64(s.CPU)
}

// readSlot reads the event that flags name in a perf event array.
func readSlot(s *exec.State, array, flags uint64) (v exec.CounterValue, err error) {
	m, ok := mapOf(array).(*maps.PerfEventArray)
	if !ok || flags&^maps.PerfIndexMask != 0 {
		return v, errno.EINVAL
	}
	index := perfIndex(s, flags)
	if index >= uint64(m.Info().MaxEntries) {
		return v, errno.E2BIG
	}
	c := counterAt(s, m, index)
	if c == nil {
		return v, errno.ENOENT
	}
	return readCounter(s, c)
}

// readCounter reads an event, which only its own thread or CPU can.
func readCounter(s *exec.State, c *exec.Counter) (v exec.CounterValue, err error) {
	switch t := current(s); {
	case c.PID != 0 && (t == nil || t.PID != c.PID), c.PID == 0 && c.CPU != s.CPU:
		return v, errno.EINVAL
	}
	return c.Read(), nil
}

func perfEventRead(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	v, err := readSlot(s, r1, r2)
	if err != nil {
		return status(err)
	}
	return v.Counter
}

func perfEventReadValue(s *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
	return putCounter(view(r3, uint64(uint32(r4))), func() (exec.CounterValue, error) { return readSlot(s, r1, r2) })
}

// perfProgReadValue reads the program's own event. One that nobody describes has
// counted nothing.
func perfProgReadValue(s *exec.State, _, r2, r3, _, _ uint64) uint64 {
	return putCounter(view(r2, uint64(uint32(r3))), func() (v exec.CounterValue, err error) {
		if s.Env.Perf == nil || s.Env.Perf.Own() == nil {
			return v, nil
		}
		return s.Env.Perf.Own().Read(), nil
	})
}

// putCounter writes a struct bpf_perf_event_value, or zeros where it cannot be read.
func putCounter(to []byte, read func() (exec.CounterValue, error)) uint64 {
	const size = 24
	if len(to) != size {
		clear(to)
		return errno.EINVAL.Ret()
	}
	v, err := read()
	le.PutUint64(to, v.Counter)
	le.PutUint64(to[8:], v.Enabled)
	le.PutUint64(to[16:], v.Running)
	return status(err)
}

const branchSize = 24 // struct perf_branch_entry

func branches(s *exec.State) []exec.Branch {
	if s.Env.Perf == nil {
		return nil
	}
	return s.Env.Perf.Branches()
}

// putBranches writes as many branches as have room, and gives how many bytes.
func putBranches(to []byte, all []exec.Branch) uint64 {
	n := min(len(all), len(to)/branchSize)
	for i, b := range all[:n] {
		entry := to[i*branchSize:]
		le.PutUint64(entry, b.From)
		le.PutUint64(entry[8:], b.To)
		le.PutUint64(entry[16:], b.Flags)
	}
	return uint64(n) * branchSize
}

// readBranchRecords gives the branches that were sampled with the program's event.
func readBranchRecords(s *exec.State, _, r2, r3, r4, _ uint64) uint64 {
	const onlySize = 1 // BPF_F_GET_BRANCH_RECORDS_SIZE
	all, size := branches(s), uint64(uint32(r3))
	switch {
	case r4&^onlySize != 0:
		return errno.EINVAL.Ret()
	case all == nil:
		return errno.ENOENT.Ret()
	case r4 == onlySize:
		return uint64(len(all)) * branchSize
	case r2 == 0 || size%branchSize != 0:
		return errno.EINVAL.Ret()
	}
	return putBranches(view(r2, size), all)
}

// branchSnapshot gives the processor's last branches. It looks at its flags last.
func branchSnapshot(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	size := uint64(uint32(r2))
	n := putBranches(view(r1, size), branches(s))
	switch {
	case r3 != 0:
		return errno.EINVAL.Ret()
	case n == 0:
		return errno.ENOENT.Ret()
	}
	return n
}
