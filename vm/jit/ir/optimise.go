package ir

// Optimise runs the passes between what lifts and expands a program and what colours it.
// Liveness is found out then.
func (p *Program) Optimise(t *Target) {
	p.Inline()
	for _, f := range p.Funcs {
		f.Fold()
		f.Sweep()
		if p.Promote(f) { // what was stored and loaded is copied now
			f.Fold()
			f.Sweep()
		}
		f.Divide()
		f.Combine(t)
		f.Liveness()
	}
}
