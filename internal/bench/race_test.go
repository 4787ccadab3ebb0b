package bench

import (
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm"
)

// loaded is a spec in an engine.
type loaded struct {
	engine string
	Collection
}

// loadAll loads a spec into all engines. It says why one but the referee has no part.
func loadAll(b *testing.B, spec *ebpf.CollectionSpec) (all []loaded) {
	b.Helper()
	for i, e := range append(Ours(vm.ProgramOptions{}), Linux) {
		c, err := e.Load(spec)
		switch {
		case err == nil:
			b.Cleanup(c.Close)
			all = append(all, loaded{e.Name, c})
		case i == 0:
			b.Fatalf("%s: %v", e.Name, err)
		default:
			b.Logf("without %s: %v", e.Name, err)
		}
	}
	return all
}

// worker is who takes part in a race.
type worker struct {
	name string
	run  Runner
}

// workers run a program of all engines on a packet.
func workers(all []loaded, prog string, data []byte) (ws []worker) {
	for _, l := range all {
		ws = append(ws, worker{l.engine, l.Runner(prog, &Input{Data: data})})
	}
	return ws
}

// agree ends the benchmark if the workers' results differ, and gives how many
// instructions a run executes.
func agree(b *testing.B, all []worker) int64 {
	b.Helper()
	var want Result
	for i, w := range all {
		got, err := w.run(1)
		switch {
		case err != nil:
			b.Fatalf("%s: %v", w.name, err)
		case i == 0:
			want = got
		case got.Ret != want.Ret:
			b.Fatalf("%s returns %d, %s returned %d", w.name, got.Ret, all[0].name, want.Ret)
		}
	}
	return want.Executed
}

// race lets the workers take turns and reports the time of each, for each unit
// divided by how often a run has it.
func race(b *testing.B, all []worker, units map[string]float64) {
	b.Helper()
	var turns Race
	for _, w := range all {
		turns.Add(w.run)
	}
	for b.Loop() {
		if err := turns.Round(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(0, "ns/op") // a round's time says nothing
	for i, w := range all {
		for unit, n := range units {
			b.ReportMetric(turns.Best(i)/n, w.name+"-ns/"+unit)
		}
	}
}
