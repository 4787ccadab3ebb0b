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
	// Runner gives a program of the spec that runs on a packet or on a context. It
	// may be used by several goroutines at a time.
	Runner(prog string, in *Input) Runner
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

// Input is what a run begins with, as in [vm.Input].
type Input struct {
	Data []byte
	Ctx  []byte
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
	// Repeat is how many runs a batch has; 0: as many as it needs.
	Repeat uint32

	entries []entry
}

type entry struct {
	run  Runner
	n    uint32  // runs in a batch
	best float64 // ns a run
}

// Add gives the race one more runner and gives its number, from 0 on.
func (r *Race) Add(run Runner) int {
	r.entries = append(r.entries, entry{run: run, n: max(r.Repeat, 1), best: math.Inf(1)})
	return len(r.entries) - 1
}

// Round gives each runner a batch.
func (r *Race) Round() error {
	for i := range r.entries {
		e := &r.entries[i]
		took, err := e.batch()
		for err == nil && took < batchTime && e.n < maxRuns && r.Repeat == 0 {
			// The first batches find out how many runs are needed. Short ones tell too
			// little of it to go there at once.
			more := float64(batchTime) / float64(max(took, 1)) * 1.25
			e.n = uint32(min(float64(e.n)*min(more, 64)+1, maxRuns))
			took, err = e.batch()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Best is what a run of a runner took in its best batch, in nanoseconds.
func (r *Race) Best(i int) float64 { return r.entries[i].best }

// batch makes a batch of runs and notes its time.
func (e *entry) batch() (time.Duration, error) {
	r, err := e.run(e.n)
	if err == nil {
		e.best = min(e.best, float64(r.Took)/float64(e.n))
	}
	return r.Took, err
}

// InTurn runs the runners one after the other; a run of it is one of each.
func InTurn(runners []Runner) Runner {
	return func(n uint32) (sum Result, err error) {
		for _, run := range runners {
			r, err := run(n)
			if err != nil {
				return Result{}, err
			}
			sum = Result{r.Ret, sum.Took + r.Took, sum.Executed + r.Executed}
		}
		return sum, nil
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
