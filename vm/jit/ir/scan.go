package ir

import (
	"fmt"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/verifier"
)

// kind is what lifting wants to know of an instruction before it comes there. Most are
// reached, and nothing else.
type kind uint8

const (
	reached kind = 1 << iota // by some path
	begins                   // begins a block, if it is reached
	trapped                  // must not be reached
	ends                     // is the last one of its block
	splits                   // jumps back or goes on: a block comes next that takes from the budget
	sure                     // always gives the same number
	unusual                  // accesses memory in a way that Source.Access says
)

// scan finds out the kind and the weight of a function's instructions, and lifts those
// that it calls.
func (l *lifter) scan(start, end int) error {
	facts, total := l.src.Facts, int32(0)
	l.kind[start] |= begins
	for at := start; at < end; at++ {
		ins := &l.src.Insns[at]
		role, k := control[ins.Op], reached
		if facts != nil {
			f := &facts[at]
			if f.Number != nil && f.Number.IsConst() {
				k |= sure
			}
			if f.Memory > verifier.MemPlain {
				k |= unusual
			}
			if !f.Reached {
				k = 0
			}
		}
		if role == controlCall || role == controlWide && ins.Src == isa.PseudoFunc {
			var err error
			if total, err = l.calls(at, *ins, k != 0, total); err != nil {
				return err
			}
		}
		total++
		l.weight[at] = total
		if k == 0 {
			continue
		}
		if role >= controlJump {
			more, err := l.leads(at, ins, start, end)
			if err != nil {
				return err
			}
			k |= more
		}
		l.kind[at] |= k
		if role == controlWide {
			at++
			total++
			l.weight[at] = total
			l.kind[at] |= reached
		}
	}
	for _, at := range l.src.Trapped {
		if start <= at && at < end {
			l.kind[at] |= trapped
		}
	}
	return nil
}

// calls lifts the function that an instruction calls or gives the address of, if it is
// reached, and adds to a weight what the call takes of the budget besides.
func (l *lifter) calls(at int, ins isa.Instruction, live bool, total int32) (int32, error) {
	switch {
	case ins.IsCall(isa.CallLocal) && live:
		callee := l.startOf(at, ins)
		if err := l.function(callee); err != nil {
			return 0, err
		}
		return min(total+l.weight[l.endOf(callee)-1], maxWeight), nil
	case ins.Op == isa.ClassJMP|isa.JmpCALL:
		return total + helperWeight, nil
	case live:
		callee := l.startOf(at, ins)
		l.entered[callee] = true // by a helper
		if l.index[callee] == 0 {
			return total, l.function(callee)
		}
	}
	return total, nil
}

// leads marks the instructions that may come behind one that can be a block's last, and
// adds to what is known of that.
func (l *lifter) leads(at int, ins *isa.Instruction, start, end int) (kind, error) {
	k := ends
	switch control[ins.Op] {
	case controlJump:
		to := jumpTarget(at, ins)
		if l.takes(at) {
			if err := l.lead(at, to, start, end); err != nil {
				return 0, err
			}
			if to <= at && !goes(ins) && ins.Op&0xf0 != isa.JmpJCOND && l.passes(at) {
				k |= splits
			}
		}
	case controlGotox:
		for _, t := range l.src.Targets(at) {
			if err := l.lead(at, t.At, start, end); err != nil {
				return 0, err
			}
		}
	case controlStore:
		if !l.limited(at, ins) {
			return 0, nil
		}
	}
	if at+1 < end {
		l.kind[at+1] |= begins
	}
	return k, nil
}

// lead lets an instruction that one jumps to begin a block.
func (l *lifter) lead(at, to, start, end int) error {
	if to < start || to >= end {
		return fmt.Errorf("compile %s: instruction %d jumps to instruction %d, which is in another function", l.src.Name, at, to)
	}
	l.kind[to] |= begins
	return nil
}

// number numbers the blocks that instructions begin, and gives how many blocks the
// instructions become.
func (l *lifter) number(start, end int) int {
	n, live := int32(0), false
	for at := start; at < end; at++ {
		k := l.kind[at]
		if k == reached {
			continue
		}
		if k&begins != 0 {
			if live = k&reached != 0; live {
				n++
				l.block[at] = n
			}
		}
		if live = live && k&(reached|trapped) == reached; live && k&splits != 0 {
			n++
		}
	}
	l.block[end] = 0 // another function may begin there
	return int(n)
}

// takes and passes report whether a jump may be taken, and whether the program
// may go on behind it.
func (l *lifter) takes(at int) bool  { return l.src.Facts == nil || l.src.Facts[at].Jumps }
func (l *lifter) passes(at int) bool { return l.src.Facts == nil || l.src.Facts[at].Passes }

// limited reports whether an instruction is a store that does nothing with large
// numbers.
func (l *lifter) limited(at int, ins *isa.Instruction) bool {
	return control[ins.Op] == controlStore && l.src.Facts != nil &&
		l.src.Facts[at].Memory == verifier.MemContext && l.src.Access(at).Limit != 0
}

// What an opcode means to control. From controlJump on, it may be the last one of a block.
const (
	controlNothing = iota
	controlWide    // has two slots
	controlCall
	controlJump   // jumps by a distance that the instruction has
	controlGotox  // jumps to the address in a register
	controlExit   // returns
	controlPacket // a packet load, which may end the function
	controlStore  // a store, which may be limited
)

var control = controlTable()

func controlTable() (t [256]uint8) {
	for op := range t {
		op := uint8(op)
		switch class := op & 7; {
		case op == isa.OpLDDW:
			t[op] = controlWide
		case op == isa.ClassJMP|isa.SrcX|isa.JmpJA:
			t[op] = controlGotox
		case op == isa.ClassJMP|isa.JmpEXIT:
			t[op] = controlExit
		case op == isa.ClassJMP|isa.JmpCALL:
			t[op] = controlCall
		case class == isa.ClassJMP32, class == isa.ClassJMP && op&0xf0 != isa.JmpCALL && op&0xf0 != isa.JmpEXIT:
			t[op] = controlJump
		case class == isa.ClassLD:
			t[op] = controlPacket
		case class == isa.ClassST, class == isa.ClassSTX:
			t[op] = controlStore
		}
	}
	return t
}

// goes reports whether a jump is an unconditional one.
func goes(ins *isa.Instruction) bool { return ins.Op&0xf0 == isa.JmpJA }

func jumpTarget(at int, ins *isa.Instruction) int {
	if ins.Op == isa.ClassJMP32|isa.JmpJA {
		return at + 1 + int(ins.Imm)
	}
	return at + 1 + int(ins.Off)
}
