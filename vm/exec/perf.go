package exec

// Perf answers what helpers ask of performance events.
type Perf interface {
	// Counter is the event that user space put at an index of a perf event array,
	// which is named as the map is; nil: none.
	Counter(array string, index uint32) *Counter
	// Own is the event that programs of type perf_event run for, or nil.
	Own() *Counter
	// Branches are the branches that the processor took, the last one first.
	Branches() []Branch
}

// Counter is an event that counts on one CPU or for one thread. Elsewhere it
// cannot be read.
type Counter struct {
	CPU  int    // where PID is 0
	PID  uint32 // number of the thread
	Read func() CounterValue
}

// CounterValue is what an event has counted (struct bpf_perf_event_value).
type CounterValue struct {
	Counter          uint64
	Enabled, Running uint64 // for how long it was to count, and did, in ns
}

// Branch is struct perf_branch_entry.
type Branch struct {
	From, To uint64
	Flags    uint64 // the bit fields behind the addresses
}
