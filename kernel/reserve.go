package kernel

import (
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/program"
)

// What bpf_ringbuf_reserve gives is NULL where there is no room, and programs must look
// whether it is. A second look behind the call would be one too many for the verifiers of
// Linux before 6.3, to which the first one does not tell enough. So the counter goes to
// where the program's own look leads then.

// check is where a program looks whether a record was reserved.
type check struct {
	ring string
	free []asm.Register // that hold nothing there, two
}

// findChecks finds them all.
func (e *editor) findChecks() {
	e.checks = make(map[int]check)
	for i := range e.insns {
		if ins := &e.insns[i]; !ins.IsBuiltinCall() || asm.BuiltinFunc(ins.Constant) != asm.FnRingbufReserve {
			continue
		}
		ring := e.mapOf(i, asm.R1, ebpf.RingBuf)
		at, free := e.findCheck(i)
		if ring == "" || len(free) < 2 {
			e.uncounted()
			continue
		}
		e.checks[at] = check{ring, free}
	}
}

// findCheck finds the one that follows the call at instruction i in straight code, and
// registers that the call has emptied and nothing was put into since; none: there is no
// such check.
func (e *editor) findCheck(i int) (at int, free []asm.Register) {
	free = []asm.Register{asm.R1, asm.R2, asm.R3, asm.R4, asm.R5}
	holds := map[asm.Register]bool{asm.R0: true} // what the call gave
	for at = i + 1; at < len(e.insns) && !e.origins.Joins(at); at++ {
		ins := &e.insns[at]
		class, op := ins.OpCode.Class(), ins.OpCode.JumpOp()
		switch {
		case class == asm.JumpClass && (op == asm.JEq || op == asm.JNE) && ins.OpCode.Source() == asm.ImmSource && ins.Constant == 0 && holds[ins.Dst]:
			return at, free[:min(2, len(free))]
		case class.IsJump(), fetches(ins.OpCode.AtomicOp()):
			return 0, nil
		case class.IsStore():
		default:
			moves := class == asm.ALU64Class && ins.OpCode.ALUOp() == asm.Mov && ins.OpCode.Source() == asm.RegSource
			holds[ins.Dst] = moves && holds[ins.Src]
			free = slices.DeleteFunc(free, func(r asm.Register) bool { return r == ins.Dst })
		}
	}
	return 0, nil
}

// fetches reports whether an atomic operation puts something into a register.
func fetches(op asm.AtomicOp) bool {
	switch op {
	case asm.InvalidAtomic, asm.AddAtomic, asm.AndAtomic, asm.OrAtomic, asm.XorAtomic:
		return false
	}
	return true
}

// countNull has a check count where it finds NULL.
func (e *editor) countNull(i int, c check) asm.Instructions {
	ins := e.insns[i]
	add := e.add(c.ring, c.free[0], c.free[1])
	if ins.OpCode.JumpOp() == asm.JNE {
		return append(asm.Instructions{asm.JNE.Imm(ins.Dst, 0, program.There)}, add...)
	}
	add = append(add, asm.Ja.Label(program.There))
	return append(asm.Instructions{skip(asm.JNE, ins.Dst, add)}, add...)
}
