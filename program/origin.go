package program

import "github.com/cilium/ebpf/asm"

// Origins tells where registers' values come from, as far as a look back at straight code
// does.
type Origins struct {
	insns   asm.Instructions
	targets map[int]bool // instructions that something jumps to
}

// NewOrigins looks at a program's instructions.
func NewOrigins(insns asm.Instructions) *Origins {
	o := &Origins{insns, make(map[int]bool)}
	at := make(map[int64]int, len(insns)) // by slot
	slots := make([]int64, len(insns))
	var slot int64
	for i := range insns {
		at[slot], slots[i] = i, slot
		slot += int64(insns[i].Width())
	}
	for i := range insns {
		ins := &insns[i]
		if ins.Symbol() != "" {
			o.targets[i] = true
		}
		wide, jumps, err := jump(ins)
		distance := int64(ins.Offset)
		if wide {
			distance = ins.Constant
		}
		if target, ok := at[slots[i]+1+distance]; ok && jumps && err == nil {
			o.targets[target] = true
		}
	}
	return o
}

// Of gives the instruction that gave a register the value that it has before instruction
// i, whatever way led there; nil where that is not one instruction.
func (o *Origins) Of(i int, reg asm.Register) *asm.Instruction {
	for ; i > 0 && !o.targets[i]; i-- {
		ins := &o.insns[i-1]
		class := ins.OpCode.Class()
		switch {
		case class.IsJump():
			op := ins.OpCode.JumpOp()
			if op == asm.Ja || op == asm.Exit || op == asm.Call && reg <= asm.R5 {
				return nil
			}
		case ins.OpCode.AtomicOp() != asm.InvalidAtomic:
			if ins.Src == reg || reg == asm.R0 { // what was there before, where it is fetched
				return nil
			}
		case class.IsStore():
		case ins.Dst != reg:
			if class == asm.LdClass && !ins.OpCode.IsDWordLoad() && reg <= asm.R5 {
				return nil // a load from the packet, which is a call
			}
		case class == asm.ALU64Class && ins.OpCode.ALUOp() == asm.Mov && ins.OpCode.Source() == asm.RegSource && ins.Offset == 0:
			reg = ins.Src
		default:
			return ins
		}
	}
	return nil
}

// Joins reports whether something jumps to instruction i.
func (o *Origins) Joins(i int) bool { return o.targets[i] }
