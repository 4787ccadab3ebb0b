package interp

import (
	"fmt"
	"slices"

	"github.com/skep-ebpf/skep/isa"
)

// Compile decodes a program. It refuses what no machine could run, with
// Linux's rules: opcodes that are none, reserved fields that are not 0, jumps
// that lead nowhere, helpers that the program's type does not have. Unlike
// Linux it takes divisions by a constant 0 and shifts by too large a constant,
// which RFC 9669 defines.
func Compile(in *Input) (*Program, error) {
	c := compiler{in: in, prog: &Program{in: *in}}
	if err := c.compile(); err != nil {
		return nil, err
	}
	if in.Facts != nil {
		c.prog.fast = c.convert()
	}
	if in.Trace != nil {
		c.prog.trace()
	}
	return c.prog, nil
}

type compiler struct {
	in   *Input
	prog *Program
	// second marks the second slots of wide loads, starts the first instructions
	// of functions.
	second, starts []bool
	calls          map[uint32]int32 // helper to its index
	kfuncs         map[string]int32 // kernel function to its index
}

func (c *compiler) compile() error {
	n := len(c.in.Insns)
	if n == 0 {
		return fmt.Errorf("program %s has no instructions", c.in.Name)
	}
	if c.in.Facts != nil && len(c.in.Facts) != n {
		return fmt.Errorf("program %s has facts of %d instructions, and %d instructions", c.in.Name, len(c.in.Facts), n)
	}
	c.second, c.starts = make([]bool, n), make([]bool, n)
	c.calls, c.kfuncs = map[uint32]int32{}, map[string]int32{}
	c.prog.ops = make([]op, n+1)
	if err := c.layout(); err != nil {
		return err
	}
	for i := 0; i < n; i++ {
		if c.second[i] {
			c.prog.ops[i] = c.trap("the second half of a wide load is not an instruction")
			continue
		}
		o, err := c.decode(i)
		if err != nil {
			return c.refuse(i, err)
		}
		if why, ok := c.in.Poisoned[i]; ok {
			o = c.trap(why)
		}
		if c.prog.ops[i] = o; o.code == codeTrap {
			c.prog.trapped = append(c.prog.trapped, i)
		}
	}
	c.prog.ops[n] = c.trap("the program has no instruction here")
	if err := c.ends(); err != nil {
		return err
	}
	return c.unset()
}

// refuse is the error of an instruction.
func (c *compiler) refuse(i int, err error) error {
	where := ""
	if c.in.Where != nil {
		if where = c.in.Where(i); where != "" {
			where = "\n  at " + where
		}
	}
	return fmt.Errorf("program %s, instruction %d (%s): %w%s", c.in.Name, i, c.in.text(i), err, where)
}

// trap is an op that ends the run with a reason.
func (c *compiler) trap(why string) op {
	if i := slices.Index(c.prog.traps, why); i >= 0 {
		return op{code: codeTrap, off: int32(i)}
	}
	c.prog.traps = append(c.prog.traps, why)
	return op{code: codeTrap, off: int32(len(c.prog.traps) - 1)}
}

// layout finds the slots that are no instructions, and where functions begin.
func (c *compiler) layout() error {
	insns := c.in.Insns
	for i := 0; i < len(insns); i++ {
		if !insns[i].IsWide() {
			continue
		}
		if i+1 == len(insns) {
			return c.refuse(i, fmt.Errorf("the second half of the wide load is missing"))
		}
		if next := insns[i+1]; next.Op != 0 || next.Dst != 0 || next.Src != 0 || next.Off != 0 {
			return c.refuse(i, fmt.Errorf("the second half of the wide load has fields other than imm"))
		}
		i++
		c.second[i] = true
	}
	c.starts[0] = true
	if e := c.in.Exception; e < 0 || e >= len(insns) {
		return fmt.Errorf("program %s has its exception callback at instruction %d, and it has %d", c.in.Name, e, len(insns))
	}
	c.starts[c.in.Exception] = true
	for i, ins := range insns {
		if c.second[i] || !ins.IsCall(isa.CallLocal) && !(ins.IsWide() && ins.Src == isa.PseudoFunc) {
			continue
		}
		target, err := c.target(i, int64(ins.Imm))
		if err != nil {
			return c.refuse(i, err)
		}
		c.starts[target] = true
	}
	return nil
}

// target is the instruction at a distance from the one after i.
func (c *compiler) target(i int, distance int64) (int, error) {
	to := int64(i) + 1 + distance
	if to < 0 || to >= int64(len(c.in.Insns)) {
		return 0, fmt.Errorf("leads to instruction %d, and the program has %d", to, len(c.in.Insns))
	}
	if c.second[to] {
		return 0, fmt.Errorf("leads into the middle of the wide load at instruction %d", to-1)
	}
	return int(to), nil
}

// ends refuses functions that may run on behind their last instruction, or jump
// out of themselves.
func (c *compiler) ends() error {
	n := len(c.in.Insns)
	start := 0
	for i, ins := range c.in.Insns {
		if c.starts[i] {
			start = i
		}
		if c.second[i] {
			continue
		}
		if distance, ok := jumpDistance(ins); ok {
			to := i + 1 + int(distance)
			if to < start || slices.Contains(c.starts[min(i, to)+1:max(i, to)+1], true) {
				return c.refuse(i, fmt.Errorf("jumps to instruction %d, which is in another function", to))
			}
		}
		next := i + 1
		if ins.IsWide() {
			next++
		}
		if next < n && !c.starts[next] {
			continue
		}
		switch ins.Op {
		case isa.ClassJMP | isa.JmpEXIT, isa.ClassJMP | isa.JmpJA, isa.ClassJMP32 | isa.JmpJA, gotox:
		default:
			return c.refuse(i, fmt.Errorf("the function may run on behind its last instruction: it must end in exit or a jump"))
		}
	}
	return nil
}

// jumpDistance is how far a jump leads, from the next instruction.
func jumpDistance(ins isa.Instruction) (int64, bool) {
	switch ins.Class() {
	case isa.ClassJMP:
		if op := ins.Op & 0xf0; op == isa.JmpCALL || op == isa.JmpEXIT || ins.Op == gotox {
			return 0, false
		}
	case isa.ClassJMP32:
		if ins.Op&0xf0 == isa.JmpJA {
			return int64(ins.Imm), true
		}
	default:
		return 0, false
	}
	return int64(ins.Off), true
}
