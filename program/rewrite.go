package program

import (
	"errors"
	"fmt"
	"math"

	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
)

// There is where an instruction jumped in whose place another one jumps, for those that
// [Rewrite]'s edit gives: asm.Ja.Label(program.There).
const There = "skep:there"

// Rewrite gives a program with other instructions in the place of some. edit says what
// takes the place of instruction i; nil: it stays as it is. Jumps lead where they led, a
// jump to i to the first instruction in its place; jumps in what edit gives stay within
// that, or lead There. Symbols and lines of source go over to what takes the place. insns
// are not changed.
func Rewrite(insns asm.Instructions, edit func(i int) asm.Instructions) (asm.Instructions, error) {
	out := make(asm.Instructions, 0, len(insns))
	var kept []placed // instructions that jump where they did
	before := make([]int64, 0, len(insns)+1)
	moved := make(map[int64]int64, len(insns)+1) // from slots before to slots after
	var from, to int64
	for i := range insns {
		before = append(before, from)
		moved[from] = to
		width := int64(insns[i].Width())
		if with := edit(i); with != nil {
			first := len(out)
			out = append(out, with...)
			inherit(&out[first], &insns[i])
			for n := first; n < len(out); n++ {
				to += int64(out[n].Width())
				if out[n].Reference() != There {
					continue
				}
				out[n] = out[n].WithReference(insns[i].Reference())
				out[n].Offset = insns[i].Offset
				kept = append(kept, placed{i, n, to})
			}
		} else {
			kept = append(kept, placed{i, len(out), to + width})
			out = append(out, insns[i])
			to += width
		}
		from += width
	}
	moved[from] = to
	for _, k := range kept {
		ins := &out[k.now]
		wide, jumps, err := jump(ins)
		if err != nil {
			return nil, fmt.Errorf("instruction %d: %w", k.was, err)
		}
		if !jumps {
			continue
		}
		distance := int64(ins.Offset)
		if wide {
			distance = ins.Constant
		}
		target, ok := moved[before[k.was]+1+distance]
		if !ok {
			return nil, fmt.Errorf("instruction %d jumps to what is no instruction", k.was)
		}
		distance = target - k.end
		switch {
		case wide:
			ins.Constant = distance
		case distance != int64(int16(distance)):
			return nil, fmt.Errorf("instruction %d would jump over %d instructions, and can over %d", k.was, distance, math.MaxInt16)
		default:
			ins.Offset = int16(distance)
		}
	}
	return out, nil
}

// placed is an instruction that stays: its index before and now, and the slot behind it
// now.
type placed struct {
	was, now int
	end      int64
}

// jump reports whether an instruction leads to another by a distance in slots, which
// stands in its offset, or with wide in its constant. Those that lead to a symbol get
// their distance when they are loaded.
func jump(ins *asm.Instruction) (wide, jumps bool, err error) {
	class := ins.OpCode.Class()
	switch {
	case ins.IsFunctionReference():
		return true, ins.Reference() == "" || ins.Constant != -1, nil
	case !class.IsJump() || ins.OpCode.JumpOp() == asm.Call || ins.OpCode.JumpOp() == asm.Exit:
		return false, false, nil
	case ins.OpCode.JumpOp() == asm.Ja && ins.OpCode.Source() == asm.RegSource:
		return false, false, errors.New("it jumps by a table, whose entries would lead elsewhere")
	case ins.OpCode.JumpOp() == asm.Ja && class == asm.Jump32Class:
		return true, ins.Reference() == "" || ins.Constant != -1, nil
	}
	return false, ins.Reference() == "" || ins.Offset != -1, nil
}

// inherit gives an instruction what is known of the one whose place it takes, unless it
// has its own.
func inherit(ins, was *asm.Instruction) {
	if ins.Symbol() == "" && was.Symbol() != "" {
		*ins = ins.WithSymbol(was.Symbol())
	}
	if ins.Source() == nil && was.Source() != nil {
		*ins = ins.WithSource(was.Source())
	}
	if fn := btf.FuncMetadata(was); fn != nil && btf.FuncMetadata(ins) == nil {
		*ins = btf.WithFuncMetadata(*ins, fn)
	}
}
