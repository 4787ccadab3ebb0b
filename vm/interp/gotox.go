package interp

import (
	"fmt"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/maps"
)

// gotox jumps to the instruction whose address a register has, which comes from an
// instruction array.
const gotox = isa.ClassJMP | isa.SrcX | isa.JmpJA

// decodeGotox gives the op the bounds of its function: its first instruction in the
// upper 32 bits of imm, the one behind its last in the lower ones.
func (c *compiler) decodeGotox(i int, o op) (op, error) {
	if c.prog.targets == nil {
		c.prog.targets = c.jumpTargets()
	}
	if c.prog.targets == nil {
		return op{}, fmt.Errorf("jumps to where R%d points, and the program refers to no instruction array to take it from", o.dst)
	}
	start, end := i, i+1
	for !c.starts[start] {
		start--
	}
	for end < len(c.starts) && !c.starts[end] {
		end++
	}
	o.code, o.imm = codeGotox, uint64(start)<<32|uint64(end)
	return o, nil
}

// jumpTargets marks the instructions that the program's tables have; nil where
// there are no tables.
func (c *compiler) jumpTargets() (targets []bool) {
	for _, m := range c.in.Maps {
		a, ok := m.(*maps.InsnArray)
		if !ok {
			continue
		}
		if targets == nil {
			targets = make([]bool, len(c.in.Insns))
		}
		for i := range a.Info().MaxEntries {
			if insn := int(a.Insn(i)); insn < len(targets) && !c.second[insn] {
				targets[insn] = true
			}
		}
	}
	return targets
}

// gotox goes on at the instruction that a register points to.
func (m *machine) gotox(o *op) {
	insn, err := m.prog.Target(m.index(o), m.reg[o.dst])
	if err != nil {
		m.err = err
		return
	}
	m.jump(m.prog.entry(m.checked).at(insn))
	if addr(m.pc) >= m.limit {
		m.refill()
	}
}
