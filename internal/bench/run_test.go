package bench

import "testing"

// BenchmarkRun is what a run of a program takes in each engine; where the program
// is a loop, also what an instruction takes.
func BenchmarkRun(b *testing.B) {
	for _, p := range suitePrograms {
		b.Run(p.name, func(b *testing.B) {
			all := load(b, suiteSpec(b, p.name, p.typ))
			runner := func(c Collection) Runner { return c.Runner(p.name, packet) }
			units := map[string]float64{"run": 1}
			if executed := agree(b, all, runner); p.loops {
				units["insn"] = float64(executed)
			}
			race(b, all, runner, units)
		})
	}
}
