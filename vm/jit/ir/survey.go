package ir

import "fmt"

// Survey is what a backend wants to know of a function before it makes any code.
type Survey struct {
	Saved  RegSet // the registers that are saved anywhere
	Most   int    // how many are at once, at most
	Leaves bool   // other functions are called, or Go, and not only for fuel
	Called bool   // by others
}

// Survey looks at all instructions that leave functions, and counts all. It fails where
// a function calls one that does not come before it.
func (p *Program) Survey() (funcs []Survey, total int, err error) {
	funcs = make([]Survey, len(p.Funcs))
	for n, f := range p.Funcs {
		for at := range f.Blocks {
			ins := f.Blocks[at].Ins
			total += len(ins)
			for k := range ins {
				i := &ins[k]
				if !i.Leaves() || i.Op == Fuel {
					continue
				}
				if i.Op == Call {
					if i.Imm < 0 || i.Imm >= int64(n) {
						return nil, 0, fmt.Errorf("compile function %s: instruction %d: calls function %d, which does not come before it", f.Name, i.At, i.Imm)
					}
					funcs[i.Imm].Called = true
				}
				saved := p.Saved(i)
				funcs[n].Saved |= saved
				funcs[n].Most = max(funcs[n].Most, saved.Count())
				funcs[n].Leaves = true
			}
		}
	}
	return funcs, total, nil
}

// Saved are the registers that are saved around an instruction that leaves a function:
// they hold something behind it, and it may change them.
func (p *Program) Saved(i *Ins) (live RegSet) {
	live = i.Live
	if i.Op == Call {
		if callee := p.Funcs[i.Imm]; !callee.Leaves {
			live &= callee.Clobbers
		}
	}
	return live
}
