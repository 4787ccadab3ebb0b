package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"github.com/spf13/cobra"

	"github.com/skep-ebpf/skep/hook/capture"
	"github.com/skep-ebpf/skep/internal/bench"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/report"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/exec"
)

// Engines take turns at least minRounds times, and for roundsTime.
const (
	minRounds  = 3
	roundsTime = time.Second
)

// benchFlags are the flags of skep bench.
type benchFlags struct {
	object objectFlags
	input  inputFlags
	out    outputFlag
	pcap   string
	count  uint32
	repeat uint32
}

func newBench() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench OBJECT",
		Short: "Measure a program in skep's engines and in Linux, side by side",
		Long: `Measure what a run of a program takes in each of skep's engines, and in the running
kernel where bpf() is allowed.

With --pcap a run is the mean of one on each of the capture's first packets, with
--data or --ctx it is one on that packet or context. All engines take turns, a batch
of runs each, and the best batch of each counts, so that what else the machine does
matters little. Nobody reads what the program sends: once a ring buffer is full, its
events are lost, as in Linux.`,
		Example: `  skep bench firewall.bpf.o --pcap traffic.pcap
  skep bench prog.bpf.o --prog ingress --data @packet.bin
  skep bench prog.bpf.o --pcap traffic.pcap --count 1 --repeat 1000000
  skep bench prog.bpf.o --pcap traffic.pcap -o json | jq '.engines[] | [.engine, .ns]'`,
		Args:              objectArg,
		ValidArgsFunction: completeObject,
		RunE:              func(cmd *cobra.Command, args []string) error { return benchObject(cmd, args[0], &f) },
	}
	f.object.register(cmd)
	f.input.register(cmd)
	f.out.register(cmd)
	cmd.Flags().StringVar(&f.pcap, "pcap", "", "run on the packets of this capture `file` (pcap or pcapng, may be gzipped); - is standard input")
	cmd.Flags().Uint32Var(&f.count, "count", 16, "run on the first `n` packets of --pcap")
	cmd.Flags().Uint32Var(&f.repeat, "repeat", 0, "how many `runs` a batch has on each packet; 0: as many as take 2 ms")
	_ = cmd.MarkFlagFilename("pcap", "pcap", "pcapng", "gz")
	_ = cmd.MarkFlagFilename("btf")
	return cmd
}

func (f *benchFlags) check() error {
	switch {
	case f.pcap != "" && (f.input.data != "" || f.input.ctx != ""):
		return usagef("--pcap runs on a capture, --data and --ctx on one packet or context: give one or the other")
	case f.count == 0:
		return usagef("--count 0: want at least 1 packet")
	}
	return nil
}

func benchObject(cmd *cobra.Command, path string, f *benchFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	p, err := f.object.open(path)
	if err != nil {
		return err
	}
	link, err := f.object.link()
	if err != nil {
		return err
	}
	name, err := f.object.choose(p.Spec)
	if err != nil {
		return prefix(p.Name, err)
	}
	spec, err := program.Subset(p.Spec, name)
	if err != nil {
		return prefix(p.Name, err)
	}
	env := &exec.Env{Rand: rand.New(rand.NewPCG(1, 0)).Uint32}
	inputs, err := f.inputs(spec, name, &link, env)
	if err != nil {
		return prefix(p.Name, err)
	}
	t := track{spec: spec.Copy(), prog: name, inputs: inputs, race: bench.Race{Repeat: f.repeat}}
	for _, m := range t.spec.Maps {
		m.Pinning = ebpf.PinNone // a benchmark must not touch others' maps
	}
	defer t.close()
	if err := t.enter(append(bench.Ours(vm.ProgramOptions{Link: link, Env: env}), bench.Linux)); err != nil {
		return prefix(p.Name, err)
	}
	if err := t.run(cmd.Context()); err != nil {
		return prefix(p.Name, err)
	}
	return report.NewWriter(cmd.OutOrStdout(), f.out.form).Bench(t.result())
}

// inputs are what runs start from: packets of a capture, or one packet or context.
func (f *benchFlags) inputs(spec *ebpf.CollectionSpec, name string, link *program.LinkOptions, env *exec.Env) (all []*bench.Input, err error) {
	in, err := f.input.read(spec, name, link, env)
	if err != nil {
		return nil, err
	}
	typ, err := describe(spec.Programs[name])
	switch {
	case err != nil:
		return nil, err
	case f.pcap != "" && !typ.Packet:
		return nil, usagef("program %s is of type %s, which sees no packets: give it a context with --ctx", name, typ.Name)
	case f.pcap == "" && typ.Packet && in.Data == nil:
		return nil, usagef("program %s sees packets: give it a capture with --pcap, or one packet with --data", name)
	case f.pcap == "":
		return []*bench.Input{{Data: in.Data, Ctx: in.Ctx}}, nil
	}
	r, err := capture.Open(f.pcap)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for len(all) < int(f.count) {
		p, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		all = append(all, &bench.Input{Data: slices.Clone(p.Data)})
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: the capture has no packets", f.pcap)
	}
	return all, nil
}

// track is where engines race.
type track struct {
	spec   *ebpf.CollectionSpec
	prog   string
	inputs []*bench.Input
	race   bench.Race
	ran    bench.Result // of one run of the first engine on each input

	engines []report.BenchEngine
	places  []int // of the engines in the race; -1: it does not run
	loaded  []bench.Collection
}

// enter loads the program into the engines. That one but the first does not run it is
// part of the result.
func (t *track) enter(engines []bench.Engine) error {
	for i, e := range engines {
		err := t.load(e, i == 0)
		if err != nil && i == 0 {
			return err
		}
		if err != nil {
			t.engines = append(t.engines, report.BenchEngine{Name: e.Name, Missing: err.Error()})
			t.places = append(t.places, -1)
		}
	}
	return nil
}

// load enters an engine into the race. The first one drops packets that no run
// takes, as Linux does.
func (t *track) load(e bench.Engine, first bool) error {
	c, err := e.Load(t.spec)
	if err != nil {
		return err
	}
	t.loaded = append(t.loaded, c)
	var runners []bench.Runner
	var taken []*bench.Input
	for _, in := range t.inputs {
		run := c.Runner(t.prog, in)
		r, err := run(1)
		if first && len(t.inputs) > 1 && errors.Is(err, vm.ErrInput) {
			continue
		}
		if err != nil {
			return err
		}
		if first {
			t.ran.Executed += r.Executed
		}
		runners, taken = append(runners, run), append(taken, in)
	}
	if len(taken) == 0 {
		return fmt.Errorf("none of the %d packets is one that %s takes", len(t.inputs), t.prog)
	}
	t.inputs = taken
	code, err := t.code(e, c.Code(t.prog))
	if err != nil {
		return err
	}
	t.places = append(t.places, t.race.Add(bench.InTurn(runners)))
	t.engines = append(t.engines, report.BenchEngine{Name: e.Name, Bytes: code.Bytes, Compile: code.Took})
	return nil
}

// Programs are compiled again for compilingTime, so that the machine's mood matters
// less, and at most maxCompiled times.
const (
	compilingTime = 50 * time.Millisecond
	maxCompiled   = 10
)

// code gives what compiling takes at best. first is what it took already.
func (t *track) code(e bench.Engine, first bench.Code) (best bench.Code, err error) {
	best = first
	start := time.Now()
	for n := 1; n < maxCompiled && best.Took > 0 && time.Since(start) < compilingTime; n++ {
		c, err := e.Load(t.spec)
		if err != nil {
			return best, err
		}
		best.Took = min(best.Took, c.Code(t.prog).Took)
		c.Close()
	}
	return best, nil
}

// run lets the engines take turns.
func (t *track) run(ctx context.Context) error {
	start := time.Now()
	for round := 0; round < minRounds || time.Since(start) < roundsTime; round++ {
		if err := t.race.Round(); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("interrupted after %d rounds: %w", round+1, err)
		}
	}
	return nil
}

func (t *track) result() *report.Bench {
	n := float64(len(t.inputs))
	for i, place := range t.places {
		if place >= 0 {
			t.engines[i].Ns = t.race.Best(place) / n
		}
	}
	b := &report.Bench{
		Program: t.prog, Insns: int(t.spec.Programs[t.prog].Instructions.Size() / isa.Size),
		Ran: float64(t.ran.Executed) / n, Engines: t.engines,
	}
	if t.inputs[0].Data != nil {
		b.Packets = len(t.inputs)
	}
	return b
}

func (t *track) close() {
	for _, c := range t.loaded {
		c.Close()
	}
}
