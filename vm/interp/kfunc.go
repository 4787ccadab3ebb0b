package interp

import (
	"errors"
	"fmt"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/helper"
)

// decodeKfunc is the call of a kernel function, which is a helper that is called
// by name.
func (c *compiler) decodeKfunc(i int, o op) (op, error) {
	fn := c.in.Kfuncs[i]
	if fn == nil {
		return op{}, fmt.Errorf("calls the kernel function with BTF id %d, of which nothing more is known: load the object with program.Open", c.in.Insns[i].Imm)
	}
	at, ok := c.kfuncs[fn.Name]
	if !ok {
		h := helper.Kfunc(fn.Name)
		if h == nil {
			if why, ok := helper.RefusedKfuncs[fn.Name]; ok {
				return op{}, fmt.Errorf("calls kernel function %s, which skep does not have: it %s", fn.Name, why)
			}
			return op{}, fmt.Errorf("calls kernel function %s, which skep does not have: docs/helpers.md lists those it has", fn.Name)
		}
		if !h.AllowedIn(c.in.Type.Prog) {
			return op{}, fmt.Errorf("calls kernel function %s, which programs of type %s may not call", h.Name, c.in.Type.Name)
		}
		if c.in.Proprietary {
			return op{}, fmt.Errorf("calls kernel function %s: cannot call kernel function from non-GPL compatible program; the object's section license says what it is under", h.Name)
		}
		if h.Bind != nil {
			bound := *h
			var err error
			if bound.Func, err = h.Bind(helper.Types{Program: c.in.Type, Own: c.in.Types, Kernel: c.in.KernelTypes}); err != nil {
				return op{}, fmt.Errorf("calls kernel function %s: %w", h.Name, err)
			}
			h = &bound
		}
		at = int32(len(c.prog.helpers))
		c.kfuncs[fn.Name] = at
		c.prog.helpers = append(c.prog.helpers, h)
	}
	o.code, o.off, o.imm = codeCallHelper, at, 0
	return o, nil
}

// errThrown ends what bpf_throw ended; it is no error to the caller.
var errThrown = errors.New("the program threw an exception")

// Throw implements [exec.Engine].
func (m *machine) Throw(result uint64) {
	if m.err == nil {
		m.err, m.thrown = errThrown, result
	}
}

// caught goes on where an exception leads: in the function that the program
// names, on its first frame and with the number that was thrown, or else to the
// end with that number as the result.
func (m *machine) caught() {
	m.err, m.reg[isa.R0] = nil, m.thrown
	callback := m.prog.in.Exception
	if callback == 0 {
		return
	}
	if m.checked {
		for ; m.depth > 0; m.depth-- {
			m.stackRegion(m.depth).Size = 0
		}
		m.clean(0)
		m.prov = [16]exec.Prov{isa.R10: exec.Make(exec.RegionStack, 0)}
	}
	m.depth = 0
	m.frames[0].mayGoto, m.frames[0].base = mayGotoLimit, 0
	m.reg[isa.R1], m.reg[isa.R10] = m.thrown, uint64(m.state.Stack())+isa.StackSize
	if !m.checked {
		m.zero(m.prog.in.Facts[callback].Uninit)
	}
	m.jump(m.prog.entry(m.checked).at(callback))
	if addr(m.pc) >= m.limit {
		m.refill()
	}
	if m.err == nil {
		m.loop(0)
	}
	if m.err == errThrown {
		m.fail(m.pc.at(-1), "the function that an exception goes on in throws one itself")
	}
}
