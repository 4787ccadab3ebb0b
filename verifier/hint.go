package verifier

import (
	"fmt"
	"strings"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/verifier/kernels"
)

// hint is what to try where the way to a refusal tells more than its cause does; ""
// where it does not. The way ends with last; origins made the register what it is.
func (c *checker) hint(e *Error, last *trail, origins []*trail) string {
	switch e.Cause {
	case CauseNotPointer:
		return c.lostPointer(last, origins)
	case CauseUninitRegister:
		return c.clobbered(e, last)
	case CauseHelper:
		return c.whoHas(e)
	case CauseUnboundedOffset, CauseBounds:
		if hint := c.checkedCopy(last, origins); hint != "" {
			return hint
		}
		return c.lostBounds(origins)
	}
	return ""
}

// whoHas names the program types that have a helper in this Linux.
func (c *checker) whoHas(e *Error) string {
	if e.Insn < 0 || !c.insns[e.Insn].IsCall(isa.CallHelper) {
		return ""
	}
	h, ok := kernels.HelperByID(uint32(c.insns[e.Insn].Imm))
	if !ok {
		return ""
	}
	var names []string
	for _, t := range h.Types(c.kernel.Version()) {
		names = append(names, t.String())
	}
	if len(names) == 0 {
		return ""
	}
	return fmt.Sprintf("%s is for programs of these types: %s", h.Name, strings.Join(names, ", "))
}

// lostPointer says where a pointer became a number.
func (c *checker) lostPointer(last *trail, origins []*trail) string {
	made := c.maker(origins)
	if made == nil || made.result.Type == Scalar || made.result.Type == NotInit {
		return ""
	}
	for t := last; t != nil && t != made; t = t.before {
		ins := &c.insns[t.insn]
		if !ins.IsCall(isa.CallHelper) && !ins.IsCall(isa.CallKfunc) {
			continue
		}
		switch {
		case made.result.isPacket() && c.effectsAt(t.insn)&movesPacket != 0:
			return fmt.Sprintf("the packet may have moved in the call at instruction %d (%s): load data and data_end again after it, and compare again",
				t.insn, c.text(t.insn))
		case made.result.RefID != 0:
			return fmt.Sprintf("what it points to was given back by the call at instruction %d (%s): use it before that", t.insn, c.text(t.insn))
		}
	}
	return ""
}

// maker is the last of the instructions that made a register, without those that
// compared it.
func (c *checker) maker(origins []*trail) *trail {
	for i := len(origins) - 1; i >= 0; i-- {
		if !isCondition(c.insns[origins[i].insn]) {
			return origins[i]
		}
	}
	return nil
}

// clobbered names the call that used up a register.
func (c *checker) clobbered(e *Error, last *trail) string {
	if e.Reg < isa.R1 || e.Reg > isa.R5 {
		return ""
	}
	for t := last; t != nil; t = t.before {
		ins := &c.insns[t.insn]
		if ins.Op == isa.ClassJMP|isa.JmpCALL {
			return fmt.Sprintf("the call at instruction %d used up R1 to R5: keep the value in a variable, which the compiler puts elsewhere", t.insn)
		}
		if reg, ok := ins.Writes(); ok && int(reg) == e.Reg {
			return ""
		}
	}
	return ""
}

// checkedCopy finds a comparison that was made of another copy of the number: of
// what was loaded once more, or copied and then changed.
func (c *checker) checkedCopy(last *trail, origins []*trail) string {
	for _, o := range origins {
		ins := c.insns[o.insn]
		if ins.Class() != isa.ClassLDX {
			continue
		}
		for t := last; t != nil; t = t.before {
			other := c.insns[t.insn]
			same := other.Class() == isa.ClassLDX && t != o && other.Op == ins.Op && other.Src == ins.Src && other.Off == ins.Off
			if !same || t.frame != o.frame {
				continue
			}
			if at, ok := c.comparedAfter(last, t, other.Dst); ok {
				return fmt.Sprintf("instruction %d compares what instruction %d loaded, and what is used was loaded again by instruction %d: load it once, into a variable",
					at, t.insn, o.insn)
			}
		}
	}
	return ""
}

// comparedAfter finds a comparison of a register behind an instruction of the trail.
func (c *checker) comparedAfter(last, from *trail, reg uint8) (insn int, ok bool) {
	for t := last; t != nil && t != from; t = t.before {
		ins := &c.insns[t.insn]
		if t.frame == from.frame && isCondition(*ins) && ins.Dst == reg {
			insn, ok = t.insn, true
		}
		if made, writes := ins.Writes(); writes && made == reg && t.frame == from.frame {
			ok = false // that was of something else
		}
	}
	return insn, ok
}

// lostBounds finds what made bounds useless that there were.
func (c *checker) lostBounds(origins []*trail) string {
	for _, o := range origins {
		ins := &c.insns[o.insn]
		switch {
		case ins.Class() == isa.ClassJMP32 && isCondition(*ins):
			return fmt.Sprintf("the comparison at instruction %d is of the lower 32 bits only, and all 64 are used: make the variable 64 bits wide, or mask it", o.insn)
		case ins.Class() == isa.ClassLDX && ins.Src == isa.R10 && ins.Op&isa.SizeDW != isa.SizeDW:
			return fmt.Sprintf("the value was kept on the stack and loaded in part at instruction %d, which loses its bounds: compare it again after that", o.insn)
		}
	}
	return ""
}
