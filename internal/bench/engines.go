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
	"github.com/skep-ebpf/skep/vm/engine"
)

// Ours are skep's engines, the referee first. opts say how they load programs.
func Ours(opts vm.ProgramOptions) (all []Engine) {
	for _, mode := range engine.Modes() {
		opts.Mode = mode
		all = append(all, machine(mode.String(), opts))
	}
	return all
}

// machine is the user-space machine with options.
func machine(name string, opts vm.ProgramOptions) Engine {
	return Engine{name, func(spec *ebpf.CollectionSpec) (Collection, error) {
		coll, err := vm.NewCollectionWithOptions(spec, vm.CollectionOptions{Programs: opts})
		if err != nil {
			return nil, err
		}
		return inMachine{coll}, nil
	}}
}

type inMachine struct{ *vm.Collection }

func (c inMachine) Map(name string) Map { return c.Maps[name] }

func (c inMachine) Code(prog string) Code {
	code := c.Programs[prog].Code()
	return Code{code.Took, code.Bytes}
}

func (c inMachine) Runner(prog string, in *Input) Runner {
	p := c.Programs[prog]
	return func(n uint32) (Result, error) {
		var out vm.Output
		start := time.Now()
		err := p.Exec(context.Background(), &vm.Input{Data: in.Data, Ctx: in.Ctx, Repeat: n}, &out)
		return Result{Ret: out.Ret, Took: time.Since(start), Executed: out.Executed}, err
	}
}

// Linux is the running kernel.
var Linux = Engine{"linux", func(spec *ebpf.CollectionSpec) (Collection, error) {
	if err := statsDisabled(); err != nil {
		return nil, err
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, err
	}
	return inLinux{coll}, nil
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

type inLinux struct{ *ebpf.Collection }

func (c inLinux) Map(name string) Map { return c.Maps[name] }

// Code implements [Collection]. Linux does not tell what compiling took.
func (c inLinux) Code(prog string) Code {
	info, err := c.Programs[prog].Info()
	if err != nil {
		return Code{}
	}
	size, err := info.JitedSize()
	if err != nil {
		return Code{}
	}
	return Code{Bytes: int(size)}
}

// errContext says what Linux does not repeat.
var errContext = errors.New("runs on packets are all that Linux repeats and times, and this one begins with a context")

// Runner implements [Collection]. Linux gives the time of one run in whole
// nanoseconds, rounded down. The call itself takes milliseconds for some types, so
// that a look at the clock around it would say nothing.
func (c inLinux) Runner(prog string, in *Input) Runner {
	p := c.Programs[prog]
	return func(n uint32) (Result, error) {
		if in.Ctx != nil {
			return Result{}, errContext
		}
		ret, one, err := p.Benchmark(in.Data, int(n), nil)
		return Result{Ret: ret, Took: one * time.Duration(n)}, err
	}
}
