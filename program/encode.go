package program

import (
	"fmt"
	"math"

	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/isa"
)

// encode appends an instruction's slots: the exact inverse of cilium/ebpf's
// decoder, which keeps every bit (its encoder does not).
func encode(slots []isa.Instruction, ins *asm.Instruction) ([]isa.Instruction, error) {
	if ins.OpCode == asm.InvalidOpCode {
		return nil, fmt.Errorf("instruction has no valid opcode")
	}
	off, extended := extension(ins.OpCode)
	if !extended {
		off = ins.Offset
	} else if ins.Offset != 0 {
		return nil, fmt.Errorf("%s has offset %d, which its encoding has no room for", ins.OpCode, ins.Offset)
	}
	imm := int32(ins.Constant)
	switch {
	case ins.IsBuiltinCall() && ins.Constant > maxHelper:
		return nil, fmt.Errorf("call of %v, which is not a helper of Linux", asm.BuiltinFunc(ins.Constant))
	case ins.OpCode.AtomicOp() != asm.InvalidAtomic:
		// Built by hand, the operation is in the opcode only.
		imm |= int32(ins.OpCode.AtomicOp() >> 8)
	}
	slots = append(slots, isa.Instruction{
		Op:  uint8(ins.OpCode & math.MaxUint8),
		Dst: uint8(ins.Dst & 0xf),
		Src: uint8(ins.Src & 0xf),
		Off: off,
		Imm: imm,
	})
	if ins.OpCode.IsDWordLoad() {
		slots = append(slots, isa.Instruction{Imm: int32(ins.Constant >> 32)})
	}
	return slots, nil
}

// maxHelper is the largest helper number that cilium/ebpf can express; beyond it
// it keeps the operating system's tag.
const maxHelper = 1<<28 - 1

// extension gives the offset field of the operations that cilium/ebpf tells apart
// by opcode and the instruction set by offset.
func extension(op asm.OpCode) (off int16, ok bool) {
	switch op.ALUOp() {
	case asm.SDiv, asm.SMod:
		return 1, true
	case asm.MovSX8:
		return 8, true
	case asm.MovSX16:
		return 16, true
	case asm.MovSX32:
		return 32, true
	}
	return 0, false
}
