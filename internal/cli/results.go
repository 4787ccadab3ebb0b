package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/spf13/cobra"

	"github.com/skep-ebpf/skep/machine"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/report"
	"github.com/skep-ebpf/skep/vm"
)

// results are what programs print and send while they run, and the maps that they leave,
// on either machine.
type results struct {
	coll    machine.Collection
	sources []*source
	packet  int // number of the packet that is run; 0: none

	mu  sync.Mutex // protects out
	out *report.Writer
}

// source is one way by which programs send something.
type source struct {
	machine.Events
	name  string      // of the map; "": what is printed
	types []sizedType // what a record may be
	perf  bool        // records may be longer than what was sent
}

// openResults makes the results of what was loaded, and begins to read what it sends.
func openResults(cmd *cobra.Command, p *program.Program, f *runFlags, coll machine.Collection) (*results, error) {
	r := &results{coll: coll, out: report.NewWriter(cmd.OutOrStdout(), f.out.form)}
	r.out.Color = isTerminal(cmd.OutOrStdout())
	if err := r.open(p.Spec, f.events); err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

// open begins to read all that programs send. forced are the types that the user names,
// as map=type.
func (r *results) open(spec *ebpf.CollectionSpec, forced []string) error {
	named, err := r.forcedTypes(spec, forced)
	if err != nil {
		return err
	}
	for _, what := range r.coll.Unseen() {
		if err := r.out.Note(what); err != nil {
			return err
		}
	}
	for _, begin := range []func() (machine.Events, error){r.coll.Printed, r.coll.Streams} {
		texts, err := begin()
		if err != nil {
			return err
		}
		if texts != nil {
			r.sources = append(r.sources, &source{Events: texts})
		}
	}
	guesses := pointedTypes(spec)
	loaded := r.coll.Spec().Maps
	for _, name := range slices.Sorted(maps.Keys(loaded)) {
		events, err := r.coll.Events(name)
		t, chosen := named[name]
		switch {
		case errors.Is(err, machine.ErrNoEvents) && chosen:
			return fmt.Errorf("--event: map %s is a %s, which carries no events", name, loaded[name].Type)
		case errors.Is(err, machine.ErrNoEvents):
			continue
		case err != nil:
			return err
		}
		s := &source{Events: events, name: name, types: guesses, perf: loaded[name].Type == ebpf.PerfEventArray}
		if chosen {
			s.types = []sizedType{t}
		} else if t, ok := withSize(loaded[name].Value); ok {
			s.types = []sizedType{t}
		}
		r.sources = append(r.sources, s)
	}
	return nil
}

// forcedTypes reads what the user says of maps' records, as map=type.
func (r *results) forcedTypes(spec *ebpf.CollectionSpec, forced []string) (map[string]sizedType, error) {
	named := make(map[string]sizedType)
	for _, s := range forced {
		name, typ, err := forcedType(spec, s)
		if err != nil {
			return nil, err
		}
		if loaded := r.coll.Spec().Maps; loaded[name] == nil {
			return nil, fmt.Errorf("--event %s: the program uses no map %s; it uses %s", s, name,
				strings.Join(slices.Sorted(maps.Keys(loaded)), ", "))
		}
		named[name] = typ
	}
	return named, nil
}

// stream shows what programs send until ctx ends, detaches them, and shows what they had
// still sent.
func (r *results) stream(ctx context.Context) error {
	reading, done := context.WithCancel(context.WithoutCancel(ctx))
	var readers sync.WaitGroup
	errs := make([]error, len(r.sources))
	for i, s := range r.sources {
		readers.Go(func() { errs[i] = r.read(reading, s) })
	}
	<-ctx.Done()
	err := r.coll.Detach()
	done()
	readers.Wait()
	return errors.Join(append(errs, err)...)
}

// ended is a context to read with what has come already.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// drain shows what programs have sent, and does not wait for more.
func (r *results) drain() error {
	for _, s := range r.sources {
		if err := r.read(ended, s); err != nil {
			return err
		}
	}
	return nil
}

// read shows what comes from a source until ctx ends.
func (r *results) read(ctx context.Context, s *source) error {
	var rec machine.Record
	for {
		if err := s.Read(ctx, &rec); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if err := r.show(s, &rec); err != nil {
			return err
		}
	}
}

// show writes one record.
func (r *results) show(s *source, rec *machine.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.name == "" {
		return r.out.Printk(&report.Printk{Packet: r.packet, Program: rec.Program, CPU: rec.CPU, Stream: rec.Stream, Text: string(rec.Data)})
	}
	return r.out.Event(&report.Event{
		Map: s.name, Packet: r.packet, CPU: rec.CPU,
		Value: report.Value{Data: rec.Data, Type: typeAmong(s.types, len(rec.Data), s.perf)},
	})
}

// lost gives what found no room, source by source.
func (r *results) lost() (all []report.Lost, err error) {
	for _, s := range r.sources {
		n, lostErr := s.Lost()
		if err = errors.Join(err, lostErr); n > 0 {
			all = append(all, report.Lost{Map: cmp.Or(s.name, "bpf_printk"), Count: n})
		}
	}
	return all, err
}

// end writes what found no room, and the maps.
func (r *results) end() error {
	lost, err := r.lost()
	for _, l := range lost {
		if err := r.out.Lost(&l); err != nil {
			return err
		}
	}
	return errors.Join(err, r.maps())
}

// maps writes the maps, except constants.
func (r *results) maps() error {
	specs := r.coll.Spec().Maps
	for _, name := range slices.Sorted(maps.Keys(specs)) {
		if internal(name) || redirects(specs[name].Type) { // these the user has filled
			continue
		}
		shown, err := readMap(r.coll.Map(name), name, specs[name].Key, specs[name].Value, vm.PossibleCPU())
		if err != nil {
			return fmt.Errorf("map %s: %w", name, err)
		}
		if shown == nil {
			continue
		}
		if err := r.out.Map(shown); err != nil {
			return err
		}
	}
	return nil
}

// close ends reading, and unloads everything.
func (r *results) close() error {
	var errs []error
	for _, s := range r.sources {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, r.coll.Close())...)
}

// readMap copies a map for the report; nil where there is nothing to show. cpus is how
// many values an element of a per-CPU map has.
func readMap(m machine.Map, name string, key, value btf.Type, cpus int) (*report.Map, error) {
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
		if !redirects(m.Type()) {
			return nil, nil
		}
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
