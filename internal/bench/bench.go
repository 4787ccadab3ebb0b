// Package bench measures programs in several engines side by side: skep's, and
// Linux's where bpf() is allowed.
//
// An [Engine] loads a spec. A [Race] lets the programs of several engines take
// turns, a batch of runs each, and keeps the best batch of each: what disturbs a
// machine disturbs some batches of all of them, and none of them in each batch.
package bench

import (
	"math"
	"time"

	"github.com/cilium/ebpf"
)

// Engine is one way of running programs.
type Engine struct {
	Name string
	Load func(*ebpf.CollectionSpec) (Collection, error)
}

// Collection is a spec that an engine has loaded.
type Collection interface {
	// Runner gives a program of the spec that runs on a packet, or on none. It may
	// be used by several goroutines at a time.
	Runner(prog string, data []byte) Runner
	// Map gives a map of the spec.
	Map(name string) Map
	// Code says what compiling a program took and gave.
	Code(prog string) Code
	Close()
}

// Map is what fills a map.
type Map interface {
	BatchUpdate(keys, values any, opts *ebpf.BatchOptions) (int, error)
}

// Code is a compiled program. Zero is what the engine does not tell.
type Code struct {
	Took  time.Duration // without verifying it
	Bytes int           // of machine code
}

// Runner makes n runs of a program on one context, as BPF_PROG_TEST_RUN does.
type Runner func(n uint32) (Result, error)

// Result is what n runs gave.
type Result struct {
	Ret      uint32        // of the last one
	Took     time.Duration // all of them
	Executed int64         // instructions of the last one; 0 where the engine does not count
}

// Limits of a batch: it takes longer than batchTime, so that looking at the clock
// does not count, or has maxRuns runs.
const (
	batchTime = 2 * time.Millisecond
	maxRuns   = 1 << 24
)

// Race is runners that take turns.
type Race struct {
	entries []entry
}

type entry struct {
	run  Runner
	n    uint32  // runs in a batch
	best float64 // ns a run
}

// Add gives the race one more runner and gives its number, from 0 on.
func (r *Race) Add(run Runner) int {
	r.entries = append(r.entries, entry{run: run, n: 1, best: math.Inf(1)})
	return len(r.entries) - 1
}

// Round gives each runner a batch.
func (r *Race) Round() error {
	for i := range r.entries {
		if err := r.entries[i].batch(); err != nil {
			return err
		}
	}
	return nil
}

// Best is what a run of a runner took in its best batch, in nanoseconds.
func (r *Race) Best(i int) float64 { return r.entries[i].best }

// batch runs a batch and notes its time. One that is too short is repeated with
// more runs, so that the first batch finds out how many it needs.
func (e *entry) batch() error {
	for {
		r, err := e.run(e.n)
		if err != nil {
			return err
		}
		e.best = min(e.best, float64(r.Took)/float64(e.n))
		if r.Took >= batchTime || e.n >= maxRuns {
			return nil
		}
		e.n *= 2
	}
}

// OnAll is run by several goroutines at a time: it takes as long as the slowest
// of them.
func OnAll(goroutines int, run Runner) Runner {
	return func(n uint32) (Result, error) {
		type outcome struct {
			Result
			err error
		}
		all := make(chan outcome)
		for range goroutines {
			go func() {
				r, err := run(n)
				all <- outcome{r, err}
			}()
		}
		var slowest outcome
		for range goroutines {
			o := <-all
			o.Took = max(o.Took, slowest.Took)
			if slowest.err != nil {
				o.err = slowest.err
			}
			slowest = o
		}
		return slowest.Result, slowest.err
	}
}
