package bench

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// calls is how many operations one run of a program makes.
const calls = 1000

// Registers that a loop keeps.
const (
	failed = asm.R6 // not 0: an operation went wrong
	left   = asm.R7
	chance = asm.R8
)

// Where a loop's operands lie on the stack.
const (
	keyAt   = -8
	valueAt = -16
)

// loop is a program that does something so many times, and returns 0 if nothing
// went wrong.
func loop(name string, body ...asm.Instructions) *ebpf.ProgramSpec {
	insns := asm.Instructions{
		asm.Mov.Imm(failed, 0),
		asm.Mov.Imm(left, calls),
		asm.StoreImm(asm.RFP, keyAt, 32, asm.Word), // the length of an LPM trie's key
		asm.StoreMem(asm.RFP, valueAt, failed, asm.DWord),
		asm.FnGetPrandomU32.Call(),
		asm.Mov.Reg(chance, asm.R0),
	}
	begin := len(insns)
	for _, b := range body {
		insns = append(insns, b...)
	}
	insns[begin] = insns[begin].WithSymbol("loop")
	insns = append(insns,
		asm.Sub.Imm(left, 1),
		asm.JNE.Imm(left, 0, "loop"),
		asm.Mov.Reg(asm.R0, failed),
		asm.Return(),
	)
	return &ebpf.ProgramSpec{Name: name, Type: ebpf.SchedCLS, License: "GPL", Instructions: insns}
}

// raceCalls measures a program that makes so many calls, on some CPUs.
func raceCalls(b *testing.B, all []loaded, prog string, cpus int) {
	ws := workers(all, prog, packet)
	for i := range ws {
		ws[i].run = OnAll(cpus, ws[i].run)
	}
	agree(b, ws)
	race(b, ws, map[string]float64{"call": calls})
}
