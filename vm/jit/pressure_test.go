//go:build amd64 || arm64

package jit

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"runtime/pprof"
	"sync"
	"testing"
	"time"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// TestStopsForOthers has all processors in native code that does not end by itself, and
// wants Go to stop it as a garbage collection does. The best of many times counts, as
// the machine may be busy with something else.
func TestStopsForOthers(t *testing.T) {
	const bound = 5 * time.Millisecond // a slice takes some 50 µs
	p := handProgram(t, hand.first, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		s := newState(t)
		s.Budget, s.Context = 1<<62, ctx
		all.Go(func() {
			if _, err := call(p, s, atSpin, 1<<61); !errors.Is(err, context.Canceled) {
				t.Errorf("the run gives %v", err)
			}
		})
	}
	best := time.Hour
	for range 20 {
		runtime.Gosched()
		start := time.Now()
		runtime.ReadMemStats(new(runtime.MemStats)) // stops all goroutines
		best = min(best, time.Since(start))
	}
	if best > bound {
		t.Errorf("native code keeps what wants to stop it waiting for %v", best)
	}
	start := time.Now()
	cancel()
	all.Wait()
	if d := time.Since(start); d > time.Second {
		t.Errorf("runs end %v after they were cancelled", d)
	}
}

// TestProfiled has the profiler interrupt native code, stubs and helpers while the
// collector runs and goroutines' stacks move.
func TestProfiled(t *testing.T) {
	var profile bytes.Buffer
	if err := pprof.StartCPUProfile(&profile); err != nil {
		t.Skip(err) // the whole test is being profiled
	}
	defer pprof.StopCPUProfile()
	p := handProgram(t, hand.first, func(s *exec.State, r1, _, _, _, _ uint64) uint64 {
		if r1%64 == 0 {
			grow(32)
			_, _ = s.Engine.Callback(s, atSpin, &[5]uint64{1000}, nil)
		}
		return r1
	})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var all sync.WaitGroup
	for range 4 {
		s := newState(t)
		all.Go(func() {
			for ctx.Err() == nil {
				if got, err := call(p, s, atHelps, 1000); got != 1 || err != nil {
					t.Errorf("the run gives %d, %v", got, err)
				}
			}
		})
	}
	for ctx.Err() == nil {
		runtime.GC()
	}
	all.Wait()
}

// grow uses more stack than there was, so that it moves.
//
//go:noinline
func grow(n int) byte {
	var room [1024]byte
	if n > 0 {
		room[n] = grow(n - 1)
	}
	return room[n/2]
}

func TestCodeIsFreed(t *testing.T) {
	before := mem.Codes()
	p := handProgram(t, hand.first, nil)
	if n := mem.Codes() - before; n != 1 {
		t.Errorf("a program has %d pieces of code", n)
	}
	if err := p.Close(); err != nil || mem.Codes() != before {
		t.Errorf("closing it leaves %d, %v", mem.Codes()-before, err)
	}
	forgotten := copyOf(t, p)
	if n := mem.Codes() - before; n != 1 {
		t.Errorf("a program has %d pieces of code", n)
	}
	runtime.KeepAlive(forgotten)
	for range 100 {
		runtime.GC()
		if mem.Codes() == before {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("a program that nobody knows any more has %d pieces of code", mem.Codes()-before)
}

// copyOf loads a program's code again, for nobody to close.
func copyOf(t *testing.T, p *Program) *Program {
	t.Helper()
	again, err := load(p.Program, &ir.Code{Bytes: make([]byte, 64), Entries: []uint32{0}, Stacks: []uint32{0}}, []*ir.Func{{Entered: true}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

var _ exec.Engine = (*machine)(nil)
