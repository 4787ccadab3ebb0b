package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/interp"
)

// Engines are skep's ways of running a program, the referee first.
var Engines = []Engine{
	machine("checked", vm.ProgramOptions{Mode: interp.Checked}),
	machine("fast", vm.ProgramOptions{Mode: interp.Fast}),
}

// machine is the user-space machine with options.
func machine(name string, opts vm.ProgramOptions) Engine {
	return Engine{name, func(c *Case) (Runner, error) {
		coll, err := vm.NewCollectionWithOptions(c.Spec, vm.CollectionOptions{Programs: opts})
		if err != nil {
			return nil, err
		}
		return &Machine{Collection: coll, prog: coll.Programs[c.Prog], in: vm.Input{Data: c.Data, Ctx: c.Ctx}}, nil
	}}
}

// Machine is a case in skep's machine.
type Machine struct {
	Collection *vm.Collection
	// Executed is how many instructions the last run executed.
	Executed int64

	prog *vm.Program
	in   vm.Input
	out  vm.Output
}

// Run implements [Runner].
func (m *Machine) Run(n uint32) (uint32, time.Duration, error) {
	m.in.Repeat = n
	start := time.Now()
	if err := m.prog.Exec(context.Background(), &m.in, &m.out); err != nil {
		return 0, 0, err
	}
	took := time.Since(start)
	m.Executed = m.out.Executed
	return m.out.Ret, took, nil
}

// Close implements [Runner].
func (m *Machine) Close() { m.Collection.Close() }

// Linux is the running kernel.
var Linux = Engine{"linux", func(c *Case) (Runner, error) {
	if err := statsDisabled(); err != nil {
		return nil, err
	}
	coll, err := ebpf.NewCollection(c.Spec)
	if err != nil {
		return nil, err
	}
	return &Kernel{Collection: coll, prog: coll.Programs[c.Prog], data: c.Data}, nil
}}

// ErrStats says that Linux counts programs' runs, which makes each of them slower.
var ErrStats = errors.New("kernel.bpf_stats_enabled is on, so that Linux looks at the clock before and after each run: times would be wrong (sysctl kernel.bpf_stats_enabled=0 turns it off)")

// statsDisabled gives [ErrStats] where Linux counts programs' runs.
func statsDisabled() error {
	text, err := os.ReadFile("/proc/sys/kernel/bpf_stats_enabled")
	switch {
	case err != nil:
		return fmt.Errorf("see whether Linux counts programs' runs: %w", err)
	case strings.TrimSpace(string(text)) != "0":
		return ErrStats
	}
	return nil
}

// Kernel is a case in the running kernel.
type Kernel struct {
	Collection *ebpf.Collection

	prog *ebpf.Program
	data []byte
}

// Run implements [Runner]. Linux gives the time of one run in whole nanoseconds,
// rounded down. The call itself takes milliseconds for some types, so that a look
// at the clock around it would say nothing.
func (k *Kernel) Run(n uint32) (uint32, time.Duration, error) {
	ret, one, err := k.prog.Benchmark(k.data, int(n), nil)
	return ret, one * time.Duration(n), err
}

// Close implements [Runner].
func (k *Kernel) Close() { k.Collection.Close() }
