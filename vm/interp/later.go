package interp

import (
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/exec"
)

// later is a function of a program that is called after the run that named it.
type later struct {
	prog *Program
	fn   uint32
	mode Mode
}

// Func implements [exec.Engine].
func (m *machine) Func(fn uint32) exec.Func {
	mode := Fast
	if m.checked {
		mode = Checked
	}
	return later{m.prog, fn, mode}
}

// Program implements [exec.Func].
func (l later) Program() any { return l.prog }

// Run implements [exec.Func].
func (l later) Run(s *exec.State, args func() ([5]uint64, [5]exec.Prov)) (uint64, error) {
	m := machineOf(s)
	m.begin(s, l.prog, l.mode)
	reg, prov := args()
	copy(m.reg[isa.R1:], reg[:])
	if m.checked {
		copy(m.prov[isa.R1:isa.R6], prov[:])
	} else {
		m.zero(l.prog.in.Facts[l.fn].Uninit)
	}
	return m.from(l.prog.entry(m.checked).at(int(l.fn)))
}
