// Package timer runs something every so often, on time: the n-th run is due n periods
// after the start, however long the ones before took.
package timer

import (
	"fmt"
	"sync"
	"time"

	"github.com/skep-ebpf/skep/hook"
)

// Period is the target of a point of kind timer: a time such as 10ms.
func Period(at hook.Point) (time.Duration, error) {
	d, err := time.ParseDuration(at.Target)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%s: %q is no period: want %s, such as %s", at, at.Target, at.Kind.Wants, at.Kind.Example)
	}
	return d, nil
}

// Timer runs something until it is closed.
type Timer struct {
	stop chan struct{}
	done sync.WaitGroup
	once sync.Once
	err  error // of the run that failed; set before done
}

// Start begins to run something every period, the first time when one has passed. Runs
// that are due while one still goes on are left out. One that fails is the last.
func Start(period time.Duration, run func() error) *Timer {
	t := &Timer{stop: make(chan struct{})}
	t.done.Go(func() { t.err = t.loop(period, run) })
	return t
}

func (t *Timer) loop(period time.Duration, run func() error) error {
	start := time.Now()
	wait := time.NewTimer(period)
	defer wait.Stop()
	for {
		select {
		case <-t.stop:
			return nil
		case <-wait.C:
		}
		if err := run(); err != nil {
			return err
		}
		passed := time.Since(start)
		wait.Reset(period - passed%period)
	}
}

// Close ends the timer, when a run that goes on has ended, and gives the error of the run
// that failed.
func (t *Timer) Close() error {
	t.once.Do(func() { close(t.stop) })
	t.done.Wait()
	return t.err
}
