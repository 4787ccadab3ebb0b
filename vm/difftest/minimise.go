package difftest

import (
	"slices"

	"github.com/skep-ebpf/skep/internal/progen"
	"github.com/skep-ebpf/skep/isa"
)

// Minimise removes what it can from a case for which still holds: instructions,
// many at once and then one by one, the end of the packet, the context, and
// initial contents of maps.
func Minimise(c *progen.Case, still func(*progen.Case) bool) *progen.Case {
	small := clone(c)
	for i := range small.Progs {
		for progress := true; progress; {
			progress = shorten(small, i, still)
		}
	}
	try := func(change func(*progen.Case)) {
		next := clone(small)
		if change(next); still(next) {
			small = next
		}
	}
	if try(func(c *progen.Case) { c.Ctx = nil }); len(small.Ctx) == 0 {
		for n := len(small.Packet) / 2; n >= 14; n /= 2 {
			try(func(c *progen.Case) { c.Packet = c.Packet[:n] })
		}
	}
	try(func(c *progen.Case) { clear(c.Packet) })
	for i := range small.Maps {
		if !small.Maps[i].Frozen {
			try(func(c *progen.Case) { c.Maps[i].Entries = nil })
		}
	}
	return small
}

// shorten removes pieces of program i and reports whether it could.
func shorten(c *progen.Case, i int, still func(*progen.Case) bool) bool {
	any := false
	for n := len(c.Progs[i]) / 2; n > 0; n /= 2 {
		for at := 0; at+n <= len(c.Progs[i]); {
			before := c.Progs[i]
			c.Progs[i] = Remove(before, at, n)
			if c.Progs[i] != nil && still(c) {
				any = true
				continue
			}
			c.Progs[i] = before
			at++
			if n > 4 {
				at += n/2 - 1
			}
		}
	}
	return any
}

// Remove gives insns without the n from at on. Jumps and calls lead where they
// led, or to the first instruction behind a target that is gone. It gives nil
// where that would cut a wide instruction, or nothing is left.
func Remove(insns []isa.Instruction, at, n int) []isa.Instruction {
	second := secondSlots(insns)
	end := at + n
	if second[at] || end < len(insns) && second[end] || n >= len(insns) {
		return nil
	}
	// moved gives the place of instruction i afterwards.
	moved := func(i int) int {
		switch {
		case i < at:
			return i
		case i < end:
			return at
		}
		return i - n
	}
	var rest []isa.Instruction
	for i, ins := range insns {
		if i >= at && i < end {
			continue
		}
		if !second[i] {
			retarget(&ins, func(distance int) int { return moved(i+1+distance) - moved(i) - 1 })
		}
		rest = append(rest, ins)
	}
	return rest
}

// retarget replaces the distance of a jump, call or function address.
func retarget(ins *isa.Instruction, to func(distance int) int) {
	op := ins.Op & 0xf0
	switch class := ins.Class(); {
	case ins.IsWide() && ins.Src == isa.PseudoFunc, ins.IsCall(isa.CallLocal), class == isa.ClassJMP32 && op == isa.JmpJA:
		ins.Imm = int32(to(int(ins.Imm)))
	case class != isa.ClassJMP && class != isa.ClassJMP32, op == isa.JmpCALL, op == isa.JmpEXIT:
	default:
		ins.Off = int16(to(int(ins.Off)))
	}
}

// secondSlots marks the second halves of wide instructions.
func secondSlots(insns []isa.Instruction) []bool {
	second := make([]bool, len(insns))
	for i := 1; i < len(insns); i++ {
		second[i] = insns[i-1].IsWide() && !second[i-1]
	}
	return second
}

func clone(c *progen.Case) *progen.Case {
	d := *c
	d.Progs = slices.Clone(c.Progs)
	d.Maps = slices.Clone(c.Maps)
	d.Packet = slices.Clone(c.Packet)
	return &d
}
