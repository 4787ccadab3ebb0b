package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/spf13/cobra"

	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/report"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/world"
)

// session is a loaded program and what it says while it runs.
type session struct {
	name   string // of the object, for errors
	coll   *vm.Collection
	prog   *vm.Program // nil in a network
	net    *network    // nil outside of one
	out    *report.Writer
	buffer *bufio.Writer // under out; nil where lines are written at once
	stderr io.Writer

	in      vm.Input // of a single run
	events  []*eventSource
	printks []string
	packet  int           // number of the packet that is run; 0: none
	clock   time.Duration // since the epoch, where the capture tells the time
}

func newSession(cmd *cobra.Command, p *program.Program, f *runFlags) (*session, error) {
	link, err := f.object.link()
	if err != nil {
		return nil, err
	}
	s := &session{name: p.Name, stderr: cmd.ErrOrStderr()}
	names, err := s.choose(f, p.Spec)
	if err != nil {
		return nil, err
	}
	spec, err := program.Subset(p.Spec, names...)
	if err != nil {
		return nil, prefix(p.Name, err)
	}
	s.open(cmd.OutOrStdout(), f)
	env, err := s.env(f)
	if err != nil {
		return nil, err
	}
	if s.in, err = f.input.read(spec, names[0], &link, env); err != nil {
		return nil, err
	}
	s.coll, err = vm.NewCollectionWithOptions(spec, vm.CollectionOptions{
		Programs: vm.ProgramOptions{Link: link, Budget: f.budget, Env: env, Mode: f.engine.mode},
	})
	if err != nil {
		return nil, prefix(p.Name, err)
	}
	if err := s.connect(names); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if s.events, err = openEvents(s.coll, p.Spec, f.events); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// open makes the writer of the results. A capture that comes from a file comes
// fast, and then nobody follows line by line.
func (s *session) open(stdout io.Writer, f *runFlags) {
	terminal := isTerminal(stdout)
	if f.pcap != "" && f.pcap != "-" && !terminal {
		s.buffer = bufio.NewWriterSize(stdout, 64<<10)
		stdout = s.buffer
	}
	s.out = report.NewWriter(stdout, f.out.form)
	s.out.Color = terminal
}

// prefix says which object an error is about, and keeps wrong usage what it is.
func prefix(object string, err error) error {
	var usage usageError
	if errors.As(err, &usage) {
		return usageError{fmt.Errorf("%s: %w", object, usage.err)}
	}
	return fmt.Errorf("%s: %w", object, err)
}

// env makes runs repeatable: randomness from a seed, and over a capture the time
// of its packets. What else programs find is the described world's.
func (s *session) env(f *runFlags) (*exec.Env, error) {
	random := rand.New(rand.NewPCG(f.seed, 0))
	env := &exec.Env{
		Rand:   random.Uint32,
		Printk: func(msg string) { s.printks = append(s.printks, msg) },
	}
	if f.pcap != "" {
		env.Now = func() time.Duration { return s.clock }
		env.Wall = func() time.Time { return time.Unix(0, int64(s.clock)) }
	}
	if f.world != "" {
		w, err := world.Open(f.world)
		if err != nil {
			return nil, err
		}
		w.Into(env)
	}
	if s.net != nil {
		return s.net.Env(*env), nil
	}
	return env, nil
}

// choose says which programs are wanted: the network's, or the one that is meant.
func (s *session) choose(f *runFlags, spec *ebpf.CollectionSpec) (names []string, err error) {
	if f.net != "" {
		s.net, err = s.openNetwork(f)
		if err != nil {
			return nil, err
		}
		return s.net.cfg.Programs(), nil
	}
	name, err := f.object.choose(spec)
	if err != nil {
		return nil, prefix(s.name, err)
	}
	return []string{name}, nil
}

// connect puts the programs where they run.
func (s *session) connect(names []string) error {
	if s.net != nil {
		return s.net.cfg.Connect(s.net.Network, s.coll)
	}
	s.prog = s.coll.Programs[names[0]]
	return nil
}

func (s *session) close() error {
	var err error
	for _, e := range s.events {
		err = errors.Join(err, e.Close())
	}
	s.coll.Close()
	if s.buffer != nil {
		err = errors.Join(err, s.buffer.Flush())
	}
	return err
}

// once runs the program on one packet or context.
func (s *session) once(ctx context.Context, f *runFlags) error {
	in := s.in
	in.Repeat = f.repeat
	typ := s.prog.Describe()
	out := vm.Output{Ctx: make([]byte, len(in.Ctx))}
	runErr := s.prog.Exec(ctx, &in, &out)
	if err := s.say(); err != nil {
		return err
	}
	if runErr != nil {
		return fmt.Errorf("%s: %w", s.name, runErr)
	}
	r := report.Run{
		Program: s.prog.Name(), Return: out.Ret, Verdict: typ.Verdict(out.Ret),
		Repeat: int(f.repeat), Took: out.Took * time.Duration(f.repeat), Data: out.Data,
		Wrote: string(out.Seq),
	}
	for _, e := range out.Effects {
		r.Effects = append(r.Effects, e.String())
	}
	if err := s.out.Run(&r); err != nil {
		return err
	}
	if err := s.lost(); err != nil {
		return err
	}
	return s.maps()
}

// say writes what the program printed and sent since the last call.
func (s *session) say() error {
	for _, msg := range s.printks {
		if err := s.out.Printk(&report.Printk{Packet: s.packet, CPU: -1, Text: msg}); err != nil {
			return err
		}
	}
	s.printks = s.printks[:0]
	for _, e := range s.events {
		if err := e.drain(s); err != nil {
			return err
		}
	}
	return nil
}

// lost writes what found no room, map by map.
func (s *session) lost() error {
	for _, e := range s.events {
		if n := e.lost(); n > 0 {
			if err := s.out.Lost(&report.Lost{Map: e.name, Count: n}); err != nil {
				return err
			}
		}
	}
	return nil
}

// maps writes the program's maps, except constants.
func (s *session) maps() error {
	for _, name := range slices.Sorted(maps.Keys(s.coll.Maps)) {
		m := s.coll.Maps[name]
		if err := showMap(s.out, m, name, m.Key(), m.Value(), vm.PossibleCPU()); err != nil {
			return err
		}
	}
	return nil
}

// showMap writes a map of either machine, unless it holds constants or nothing to show.
// cpus is how many values an element of a per-CPU map has.
func showMap(w *report.Writer, m table, name string, key, value btf.Type, cpus int) error {
	if constant(name) {
		return nil
	}
	shown, err := readMap(m, name, key, value, cpus)
	if err != nil {
		return fmt.Errorf("map %s: %w", name, err)
	}
	if shown == nil {
		return nil
	}
	return w.Map(shown)
}

// table is a map of either machine.
type table interface {
	Type() ebpf.MapType
	MaxEntries() uint32
	ValueSize() uint32
	NextKeyBytes(key any) ([]byte, error)
	LookupBytes(key any) ([]byte, error)
}

// readMap copies a map for the report; nil where there is nothing to show. cpus is how
// many values an element of a per-CPU map has.
func readMap(m table, name string, key, value btf.Type, cpus int) (*report.Map, error) {
	out := &report.Map{Name: name, Kind: m.Type().String(), MaxEntries: m.MaxEntries(), KeyType: key, ValueType: value}
	switch m.Type() {
	case ebpf.Array:
		out.Indexed = true
	case ebpf.PerCPUArray:
		out.Indexed, out.PerCPU = true, true
	case ebpf.PerCPUHash, ebpf.LRUCPUHash:
		out.PerCPU = true
	case ebpf.Hash, ebpf.LRUHash, ebpf.LPMTrie:
	default:
		return nil, nil
	}
	if !out.PerCPU {
		cpus = 1
	}
	var last any // nil: before the first
	for {
		next, err := m.NextKeyBytes(last)
		if err != nil {
			return nil, err
		}
		if next == nil {
			return out, nil
		}
		last = next
		values, err := m.LookupBytes(next)
		if err != nil {
			return nil, err
		}
		if values == nil {
			continue
		}
		e := report.Entry{Key: next}
		stride := len(values) / cpus
		for c := range cpus {
			e.Values = append(e.Values, values[c*stride:][:m.ValueSize()])
		}
		out.Entries = append(out.Entries, e)
	}
}
