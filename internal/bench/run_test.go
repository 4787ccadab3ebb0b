package bench

import (
	"testing"
	"time"
)

// BenchmarkRun is what a run of a program takes in each engine; where the program
// is a loop, also what an instruction takes.
func BenchmarkRun(b *testing.B) {
	for _, p := range suitePrograms {
		b.Run(p.name, func(b *testing.B) { race(b, suiteCase(b, p.name, p.typ), p.loops) })
	}
}

// race measures a case in all engines.
func race(b *testing.B, c *Case, loops bool) {
	var names []string
	var runners []Runner
	add := func(name string, r Runner) {
		b.Cleanup(r.Close)
		names, runners = append(names, name), append(runners, r)
	}
	for _, e := range Engines {
		r, err := e.Load(c)
		if err != nil {
			b.Fatalf("%s: %v", e.Name, err)
		}
		add(e.Name, r)
	}
	r, err := Linux.Load(c)
	if err != nil {
		b.Logf("without Linux: %v", err)
	} else {
		add(Linux.Name, r)
	}
	if err := Agree(names, runners); err != nil {
		b.Fatal(err)
	}
	executed := float64(runners[0].(*Machine).Executed)
	var turns Race
	for _, r := range runners {
		turns.Add(func(n uint32) (time.Duration, error) { _, took, err := r.Run(n); return took, err })
	}
	for b.Loop() {
		if err := turns.Round(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(0, "ns/op") // a round's time says nothing
	for i, name := range names {
		b.ReportMetric(turns.Best(i), name+"-ns/run")
		if loops {
			b.ReportMetric(turns.Best(i)/executed, name+"-ns/insn")
		}
	}
}
