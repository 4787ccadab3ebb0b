package vm

import (
	"context"
	"fmt"
	"time"
)

// RunTimers runs the timers and work of the collection's programs that are due by
// [exec.Env.Now], and gives how many functions it called. Every run of a program
// does so before and after itself; RunTimers is for clocks that go on while no
// program runs. ctx ends it early.
func (c *Collection) RunTimers(ctx context.Context) (int, error) {
	cpu, err := machine.acquire()
	if err != nil {
		return 0, err
	}
	defer machine.release(cpu)
	cpu.state.Env, cpu.state.Context = c.env, ctx
	n, err := c.env.Timers.Run(cpu.state, c.budget)
	if err != nil {
		return n, fmt.Errorf("run timers: %w", err)
	}
	return n, nil
}

// NextTimer gives the time since boot, as [exec.Env.Now] counts it, when the first
// timer is due; false where none is started.
func (c *Collection) NextTimer() (time.Duration, bool) { return c.env.Timers.Next() }
