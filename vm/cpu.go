package vm

import (
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/object"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// maxCPUs is what one word of the free list can hold.
const maxCPUs = 64

// PossibleCPU is how many values an element of a per-CPU map has: what
// [ebpf.PossibleCPU] says where there is Linux, and the number of the host's
// CPUs elsewhere.
var PossibleCPU = sync.OnceValue(func() int {
	if n, err := ebpf.PossibleCPU(); err == nil {
		return n
	}
	return runtime.NumCPU()
})

// machine is the CPUs that programs run on.
var machine = newCPUs(min(runtime.NumCPU(), PossibleCPU(), maxCPUs))

func init() { object.Later = machine.retire }

// cpu is one of them: the state that a run executes on, and what goes in and
// comes out of it, kept here so that a run allocates nothing.
type cpu struct {
	state *exec.State
	in    progtype.Input
	out   progtype.Output
}

// cpus hands out CPUs. A CPU belongs to the run that took it.
type cpus struct {
	free atomic.Uint64 // a bit for each CPU that no run occupies
	all  []atomic.Pointer[cpu]
	// turns counts the runs that ended, for each CPU.
	turns []atomic.Uint64

	mu      sync.Mutex
	waiters atomic.Int32
	freed   sync.Cond // a CPU became free while somebody waited
	retired []retiree // protected by mu
}

func newCPUs(n int) *cpus {
	c := &cpus{all: make([]atomic.Pointer[cpu], n), turns: make([]atomic.Uint64, n)}
	c.freed.L = &c.mu
	c.free.Store(1<<n - 1)
	return c
}

// acquire takes any free CPU and waits for one where all are taken.
func (c *cpus) acquire() (*cpu, error) {
	for {
		if i := c.take(); i >= 0 {
			return c.begin(i)
		}
		c.mu.Lock()
		c.waiters.Add(1)
		for c.free.Load() == 0 {
			c.freed.Wait()
		}
		c.waiters.Add(-1)
		c.mu.Unlock()
	}
}

// take marks a free CPU as taken, or gives -1.
func (c *cpus) take() int {
	for {
		free := c.free.Load()
		if free == 0 {
			return -1
		}
		if c.free.CompareAndSwap(free, free&(free-1)) {
			return bits.TrailingZeros64(free)
		}
	}
}

// acquireCPU takes a certain CPU.
func (c *cpus) acquireCPU(i int) (*cpu, error) {
	bit := uint64(1) << i
	for {
		free := c.free.Load()
		if free&bit != 0 {
			if c.free.CompareAndSwap(free, free&^bit) {
				return c.begin(i)
			}
			continue
		}
		c.mu.Lock()
		c.waiters.Add(1)
		for c.free.Load()&bit == 0 {
			c.freed.Wait()
		}
		c.waiters.Add(-1)
		c.mu.Unlock()
	}
}

// begin gives a CPU that the caller has taken, made when it is taken first.
func (c *cpus) begin(i int) (*cpu, error) {
	taken := c.all[i].Load()
	if taken == nil {
		s, err := exec.NewState(i)
		if err != nil {
			c.giveBack(i)
			return nil, err
		}
		taken = &cpu{state: s}
		c.all[i].Store(taken)
	}
	return taken, nil
}

// release gives a CPU back when its run has ended.
func (c *cpus) release(done *cpu) {
	c.turns[done.state.CPU].Add(1)
	c.giveBack(done.state.CPU)
}

func (c *cpus) giveBack(i int) {
	c.free.Or(1 << i)
	if c.waiters.Load() > 0 {
		c.mu.Lock()
		c.freed.Broadcast()
		c.mu.Unlock()
	}
}

// retiree is something to free once the runs that may still see it are over.
type retiree struct {
	free  func()
	busy  uint64   // a bit for each CPU on which a run went on
	turns []uint64 // of each CPU at that time
}

// retire calls free when every run that goes on now has ended: at once where
// there is none, else at a later call of retire. It is what RCU does for Linux.
func (c *cpus) retire(free func()) {
	c.mu.Lock()
	r := retiree{free, ^c.free.Load(), make([]uint64, len(c.turns))}
	for i := range r.turns {
		r.turns[i] = c.turns[i].Load()
	}
	c.retired = append(c.retired, r)
	var ready []func()
	kept := c.retired[:0]
	for _, r := range c.retired {
		if c.over(&r) {
			ready = append(ready, r.free)
		} else {
			kept = append(kept, r)
		}
	}
	clear(c.retired[len(kept):])
	c.retired = kept
	c.mu.Unlock()
	for _, f := range ready {
		f()
	}
}

// over reports whether every run that may see r has ended.
func (c *cpus) over(r *retiree) bool {
	running := r.busy &^ c.free.Load()
	for i, t := range r.turns {
		if running&(1<<i) != 0 && c.turns[i].Load() == t {
			return false
		}
	}
	return true
}
