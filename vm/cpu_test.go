package vm

import (
	"sync"
	"sync/atomic"
	"testing"
)

// Each CPU has one run at a time, and runs that wait are woken.
func TestCPUsAreExclusive(t *testing.T) {
	c := newCPUs(2)
	var busy [2]atomic.Bool
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for range 2000 {
				s, err := c.acquire()
				if g == 0 && err == nil {
					c.release(s)
					s, err = c.acquireCPU(1)
				}
				if err != nil {
					t.Error(err)
					return
				}
				if busy[s.state.CPU].Swap(true) {
					t.Errorf("two runs on CPU %d", s.state.CPU)
				}
				busy[s.state.CPU].Store(false)
				c.release(s)
			}
		})
	}
	wg.Wait()
	if c.free.Load() != 3 {
		t.Fatalf("free CPUs are %b", c.free.Load())
	}
}

// What a run may see is freed only after that run.
func TestRetireWaitsForRuns(t *testing.T) {
	c := newCPUs(2)
	s, err := c.acquire()
	if err != nil {
		t.Fatal(err)
	}
	freed := false
	c.retire(func() { freed = true })
	c.retire(func() {})
	if freed {
		t.Fatal("freed while a run went on")
	}
	c.release(s)
	later, err := c.acquire() // a run that began later does not hold it up
	if err != nil {
		t.Fatal(err)
	}
	c.retire(func() {})
	if !freed {
		t.Fatal("not freed after the run")
	}
	c.release(later)
}
