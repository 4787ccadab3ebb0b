package world

import (
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/skep-ebpf/skep/vm/exec"
)

// Slot is a performance event at an index of a perf event array.
type Slot struct {
	Map     string `yaml:"map"`
	Index   uint32 `yaml:"index"`
	CPU     *int   `yaml:"cpu"` // that it counts on; left away: the index
	PID     uint32 `yaml:"pid"` // of the thread that it counts for; 0: a CPU's
	Counter `yaml:",inline"`
}

// Counter is what a performance event has counted.
type Counter struct {
	Value   uint64 `yaml:"value"`
	Step    uint64 `yaml:"step"`    // what it counts from one reading to the next
	Enabled uint64 `yaml:"enabled"` // how long it was to count, and did, in ns
	Running uint64 `yaml:"running"`
}

// Branch is a branch that a processor took, its fields named as those of struct
// perf_branch_entry.
type Branch struct {
	From      uint64 `yaml:"from"`
	To        uint64 `yaml:"to"`
	Mispred   bool   `yaml:"mispred"`
	Predicted bool   `yaml:"predicted"`
	InTx      bool   `yaml:"in_tx"`
	Abort     bool   `yaml:"abort"`
	Cycles    uint16 `yaml:"cycles"`
	Type      uint8  `yaml:"type"`
}

// perf implements [exec.Perf].
type perf struct {
	slots    map[slot]*exec.Counter
	own      *exec.Counter
	branches []exec.Branch
}

type slot struct {
	array string
	index uint32
}

// Counter implements [exec.Perf].
func (p *perf) Counter(array string, index uint32) *exec.Counter { return p.slots[slot{array, index}] }

// Own implements [exec.Perf].
func (p *perf) Own() *exec.Counter { return p.own }

// Branches implements [exec.Perf].
func (p *perf) Branches() []exec.Branch { return p.branches }

func (p *perf) add(d *Description) error {
	p.slots = map[slot]*exec.Counter{}
	for _, s := range d.Counters {
		at := slot{s.Map, s.Index}
		switch {
		case s.Map == "":
			return fmt.Errorf("counter at index %d: has no map", s.Index)
		case p.slots[at] != nil:
			return fmt.Errorf("counter: two are at index %d of %s", s.Index, s.Map)
		case s.CPU != nil && s.PID != 0:
			return fmt.Errorf("counter at index %d of %s: is for a CPU or for a thread: leave cpu or pid away", s.Index, s.Map)
		}
		c := s.Counter.event()
		c.PID, c.CPU = s.PID, int(s.Index)
		if s.CPU != nil {
			c.CPU = *s.CPU
		}
		p.slots[at] = c
	}
	if d.Current.Counter != nil {
		p.own = d.Current.Counter.event()
	}
	if d.Current.Branches != nil {
		p.branches = make([]exec.Branch, 0, len(d.Current.Branches))
	}
	for _, b := range d.Current.Branches {
		flags, err := b.flags()
		if err != nil {
			return fmt.Errorf("branch from %#x: %w", b.From, err)
		}
		p.branches = append(p.branches, exec.Branch{From: b.From, To: b.To, Flags: flags})
	}
	return nil
}

// event counts a step further with each reading.
func (c Counter) event() *exec.Counter {
	next := new(atomic.Uint64)
	next.Store(c.Value)
	return &exec.Counter{Read: func() exec.CounterValue {
		return exec.CounterValue{Counter: next.Add(c.Step) - c.Step, Enabled: c.Enabled, Running: c.Running}
	}}
}

// flags are the bit fields of struct perf_branch_entry.
func (b *Branch) flags() (uint64, error) {
	const atCycles, atType, types = 4, 20, 16
	if b.Type >= types {
		return 0, fmt.Errorf("type is %d, and there are %d types (PERF_BR_*)", b.Type, types)
	}
	flags := uint64(b.Cycles)<<atCycles | uint64(b.Type)<<atType
	for i, set := range []bool{b.Mispred, b.Predicted, b.InTx, b.Abort} {
		if set {
			flags |= 1 << i
		}
	}
	return flags, nil
}

// CounterMaps are the names of the maps that the world has counters for.
func (w *World) CounterMaps() []string {
	var names []string
	for at := range w.perf.slots {
		names = append(names, at.array)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
