package bench

import (
	"testing"

	"github.com/cilium/ebpf"
)

// worker is an engine that has loaded what is measured.
type worker struct {
	name string
	Collection
}

// load loads a spec into all engines. Without Linux it says why.
func load(b *testing.B, spec *ebpf.CollectionSpec) (all []worker) {
	b.Helper()
	for _, e := range append(Ours[:len(Ours):len(Ours)], Linux) {
		c, err := e.Load(spec)
		switch {
		case err == nil:
			b.Cleanup(c.Close)
			all = append(all, worker{e.Name, c})
		case e.Name == Linux.Name:
			b.Logf("without Linux: %v", err)
		default:
			b.Fatalf("%s: %v", e.Name, err)
		}
	}
	return all
}

// race measures a program of all workers, and
// reports the time of each divided by each of units.
func race(b *testing.B, all []worker, runner func(Collection) Runner, units map[string]float64) {
	b.Helper()
	var turns Race
	for _, w := range all {
		turns.Add(runner(w.Collection))
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

// agree ends the benchmark if the workers' results differ, and gives how many
// instructions a run executes.
func agree(b *testing.B, all []worker, runner func(Collection) Runner) int64 {
	b.Helper()
	var want Result
	for i, w := range all {
		got, err := runner(w.Collection)(1)
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
