package bench

import "testing"

// BenchmarkRun is what a run of a program takes in each engine, and as native
// code; where the program is a loop, also what an instruction takes.
func BenchmarkRun(b *testing.B) {
	for _, p := range suitePrograms {
		b.Run(p.name, func(b *testing.B) {
			all := workers(loadAll(b, suiteSpec(b, p.name, p.typ)), p.name, packet)
			units := map[string]float64{"run": 1}
			if p.function != "" {
				if run := clangCode(b, &p); run != nil {
					all = append(all, worker{"clang", run})
				}
			}
			if executed := agree(b, all); p.loops {
				units["insn"] = float64(executed)
			}
			race(b, all, units)
		})
	}
	for _, p := range packetPrograms {
		b.Run(p.row, func(b *testing.B) {
			spec := packetSpec(b, p.object, p.prog)
			data := busiest(b, spec, p.prog)
			all := workers(loadAll(b, spec), p.prog, data)
			agree(b, all)
			race(b, all, map[string]float64{"run": 1})
		})
	}
}
