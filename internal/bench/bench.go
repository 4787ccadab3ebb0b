// Package bench measures one program in several engines side by side: skep's, and
// Linux's where bpf() is allowed.
//
// An [Engine] makes a [Case] a [Runner]. A [Race] lets runners take turns, a batch
// of runs each, and keeps the best batch of each: what disturbs a machine disturbs
// some batches of all of them, and none of them in each batch.
package bench

import (
	"fmt"
	"math"
	"time"

	"github.com/cilium/ebpf"
)

// Case is a program and what its runs begin with.
type Case struct {
	Spec *ebpf.CollectionSpec
	Prog string // its name in Spec
	Data []byte // the packet; nil for types without
	Ctx  []byte // the context in linux/bpf.h's layout; may be nil
}

// Engine is one way of running programs.
type Engine struct {
	Name string
	Load func(*Case) (Runner, error)
}

// Runner is a case that an engine has loaded.
type Runner interface {
	// Run runs the program n times on one context, as BPF_PROG_TEST_RUN does, and
	// gives the last result and what the runs took.
	Run(n uint32) (ret uint32, took time.Duration, err error)
	Close()
}

// Limits of a batch: it takes longer than batchTime, so that looking at the clock
// does not count, or has maxRuns runs.
const (
	batchTime = 2 * time.Millisecond
	maxRuns   = 1 << 24
)

// Race is runners of one case that take turns.
type Race struct {
	entries []entry
}

type entry struct {
	run  func(n uint32) (time.Duration, error)
	n    uint32  // runs in a batch
	best float64 // ns a run
}

// Add gives the race one more runner and gives its number, from 0 on. run makes n
// runs and says what they took.
func (r *Race) Add(run func(n uint32) (time.Duration, error)) int {
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
		took, err := e.run(e.n)
		if err != nil {
			return err
		}
		e.best = min(e.best, float64(took)/float64(e.n))
		if took >= batchTime || e.n >= maxRuns {
			return nil
		}
		e.n *= 2
	}
}

// Agree runs each runner once and says which of them does not give the first
// one's result. names are theirs.
func Agree(names []string, runners []Runner) error {
	var want uint32
	for i, r := range runners {
		got, _, err := r.Run(1)
		if err != nil {
			return fmt.Errorf("%s: %w", names[i], err)
		}
		if i == 0 {
			want = got
		} else if got != want {
			return fmt.Errorf("%s returns %d, %s returned %d: there is no point in comparing their times", names[i], got, names[0], want)
		}
	}
	return nil
}
