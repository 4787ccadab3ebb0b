package kernel

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// What a call of bpf_trace_printk prints that cannot be one of bpf_snprintf, which takes
// constant formats alone and came with Linux 5.13, is overheard: Linux has a tracepoint of
// what all programs print, where a program of skep's keeps the last text of each CPU. Behind
// the call a function takes that into the ring buffer; it counts as lost where another task
// has printed in between, and is another program's where one has from an interrupt. The text
// is in trace_pipe as well, as without skep.
const (
	overhearing  = "skep_overhear"  // the program
	overheardMap = "skep_overheard" // the task that printed, and the text
	overheardFn  = "skep_take_overheard"
	overheardAt  = "bpf_trace_printk" // the tracepoint

	textAt        = 8 // offset of the text
	overheardSize = textAt + printedSize - printedText
)

// overheard gives what takes the place of a call: the call, and that of the function.
func (e *editor) overheard(i int) asm.Instructions {
	e.overhears = true
	if e.subs[overheardFn] == nil {
		e.subs[overheardFn] = e.function(overheardFn, i, e.takeOverheard())
	}
	return asm.Instructions{e.insns[i], asm.Mov.Reg(asm.R1, asm.R0), asm.Call.Label(overheardFn)}
}

// takeOverheard is a function that gets the result of the call, and gives it back.
func (e *editor) takeOverheard() asm.Instructions {
	const result, key, out, lost = -8, -12, overheardFn + "_out", overheardFn + "_lost"
	insns := asm.Instructions{
		asm.StoreMem(asm.RFP, result, asm.R1, asm.DWord),
		asm.JSLT.Imm(asm.R1, 0, out), // nothing was printed
	}
	insns = append(insns, lookUp(overheardMap, key)...)
	insns = append(insns,
		asm.JEq.Imm(asm.R0, 0, out),
		asm.Mov.Reg(asm.R6, asm.R0),
		asm.FnGetCurrentTask.Call(),
		asm.LoadMem(asm.R1, asm.R6, 0, asm.DWord),
		asm.JNE.Reg(asm.R0, asm.R1, lost),
		asm.LoadMapPtr(asm.R1, 0).WithReference(printedMap),
		asm.Mov.Imm(asm.R2, printedSize), asm.Mov.Imm(asm.R3, 0),
		asm.FnRingbufReserve.Call(),
		asm.JEq.Imm(asm.R0, 0, lost),
		asm.Mov.Reg(asm.R7, asm.R0),
		asm.FnGetSmpProcessorId.Call(),
		asm.StoreMem(asm.R7, 0, asm.R0, asm.Word),
		asm.StoreImm(asm.R7, 4, e.number(), asm.Word),
		asm.Mov.Reg(asm.R1, asm.R7), asm.Add.Imm(asm.R1, printedText),
		asm.Mov.Imm(asm.R2, printedSize-printedText),
		asm.Mov.Reg(asm.R3, asm.R6), asm.Add.Imm(asm.R3, textAt),
		asm.FnProbeReadKernelStr.Call(),
		asm.Mov.Reg(asm.R1, asm.R7), asm.Mov.Imm(asm.R2, 0),
		asm.FnRingbufSubmit.Call(),
		asm.Ja.Label(out),
	)
	add := e.add(printedName, asm.R1, asm.R2)
	add[0] = add[0].WithSymbol(lost)
	return append(append(insns, add...),
		asm.LoadMem(asm.R0, asm.RFP, result, asm.DWord).WithSymbol(out),
		asm.Return(),
	)
}

// overhearer is the program at the tracepoint.
func overhearer() *ebpf.ProgramSpec {
	insns := asm.Instructions{asm.LoadMem(asm.R6, asm.R1, 0, asm.DWord)} // the text
	insns = append(insns, lookUp(overheardMap, -4)...)
	insns = append(insns,
		asm.JEq.Imm(asm.R0, 0, "out"),
		asm.Mov.Reg(asm.R7, asm.R0),
		asm.FnGetCurrentTask.Call(),
		asm.StoreMem(asm.R7, 0, asm.R0, asm.DWord),
		asm.Mov.Reg(asm.R1, asm.R7), asm.Add.Imm(asm.R1, textAt),
		asm.Mov.Imm(asm.R2, overheardSize-textAt),
		asm.Mov.Reg(asm.R3, asm.R6),
		asm.FnProbeReadKernelStr.Call(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("out"),
		asm.Return(),
	)
	return &ebpf.ProgramSpec{Name: overhearing, Type: ebpf.RawTracepoint, License: "Dual MIT/GPL", Instructions: insns}
}

// lookUp gives the value of a map of one entry in R0. key is a slot of the stack.
func lookUp(name string, key int16) asm.Instructions {
	return asm.Instructions{
		asm.StoreImm(asm.RFP, key, 0, asm.Word),
		asm.LoadMapPtr(asm.R1, 0).WithReference(name),
		asm.Mov.Reg(asm.R2, asm.RFP), asm.Add.Imm(asm.R2, int32(key)),
		asm.FnMapLookupElem.Call(),
	}
}
