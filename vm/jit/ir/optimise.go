package ir

// Optimise runs the passes between what lifts and expands a program and what colours it.
// Liveness is found out then.
func (p *Program) Optimise(t *Target) {
	p.Inline()
	for _, f := range p.Funcs {
		if f.usesFrame() { // mostly with addresses that are in the open in bytecode already
			f.assumeLive()
			p.Promote(f)
		} else {
			f.Frame = 0
		}
		f.Fold()
		f.Sweep()
		if p.Promote(f) { // what was stored and loaded is copied now
			f.Fold()
			f.Sweep()
		}
		f.Divide()
		f.Combine(t)
	}
}

// usesFrame reports whether the function accesses its frame or takes its address.
func (f *Func) usesFrame() bool {
	for at := range f.Blocks {
		for k := range f.Blocks[at].Ins {
			if f.Blocks[at].Ins[k].A == Frame {
				return true
			}
		}
	}
	return false
}

// assumeLive lets all variables live behind each block, which is enough to promote by.
func (f *Func) assumeLive() {
	for at := range f.Blocks {
		if b := &f.Blocks[at]; b.Succ[0] >= 0 {
			b.Out = everything
		}
	}
}
