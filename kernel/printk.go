package kernel

import (
	"fmt"
	"strings"

	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/errno"
)

// A call of bpf_trace_printk becomes one of a function that does with bpf_snprintf what
// the helper does, into a record of a ring buffer: CPU (u32), program (u32), text. It has
// a stack of its own, so that the program's need not have room.
const (
	printedText = 8                  // offset of the text
	printedSize = printedText + 1024 // as long as Linux's may be
	printedRing = 512 << 10          // bytes
)

// Slots of its stack.
const (
	slotRet    = -48
	slotRecord = -40
	slotArgs   = -32 // up to 3
	slotFmt    = -8
)

// printk gives what takes the place of a call of bpf_trace_printk(format, its size, up to
// three arguments), or of bpf_trace_vprintk(format, its size, arguments, their size).
func (e *editor) printk(i int, fn asm.BuiltinFunc) asm.Instructions {
	format, ok := e.text(i, asm.R1)
	args := conversions(format)
	switch {
	case e.listens, !ok, fn == asm.FnTracePrintk && args > 3: // the last is an error of the helper's
		return e.overheard(i)
	case fn == asm.FnTraceVprintk:
		return e.call(i, "skep_vprintk", asm.Instructions{
			asm.StoreMem(asm.RFP, slotFmt, asm.R1, asm.DWord),
			asm.StoreMem(asm.RFP, slotArgs, asm.R3, asm.DWord),
			asm.StoreMem(asm.RFP, slotArgs+8, asm.R4, asm.DWord),
		}, asm.Instructions{
			asm.LoadMem(asm.R4, asm.RFP, slotArgs, asm.DWord),
			asm.LoadMem(asm.R5, asm.RFP, slotArgs+8, asm.DWord),
		})
	}
	keep := asm.Instructions{asm.StoreMem(asm.RFP, slotFmt, asm.R1, asm.DWord)}
	for n := range args {
		keep = append(keep, asm.StoreMem(asm.RFP, int16(slotArgs+8*n), asm.R3+asm.Register(n), asm.DWord))
	}
	data := asm.Instructions{asm.Mov.Imm(asm.R4, 0)}
	if args > 0 {
		data = asm.Instructions{asm.Mov.Reg(asm.R4, asm.RFP), asm.Add.Imm(asm.R4, slotArgs)}
	}
	return e.call(i, fmt.Sprintf("skep_printk_%d", args), keep, append(data, asm.Mov.Imm(asm.R5, int32(8*args))))
}

// call gives the call of a function that keeps its arguments, has R4 and R5 say which
// ones the format is for, and is added where it is not there yet.
func (e *editor) call(i int, name string, keep, data asm.Instructions) asm.Instructions {
	if e.subs[name] == nil {
		e.subs[name] = e.printer(name, i, keep, data)
	}
	return asm.Instructions{asm.Call.Label(name)}
}

// number is the program's among those that print.
func (e *editor) number() int64 {
	if n := len(e.programs); n == 0 || e.programs[n-1] != e.program {
		e.programs = append(e.programs, e.program)
	}
	return int64(len(e.programs) - 1)
}

// printer makes such a function, for the call at instruction i.
func (e *editor) printer(name string, i int, keep, data asm.Instructions) asm.Instructions {
	lost := name + "_lost"
	insns := append(keep,
		asm.LoadMapPtr(asm.R1, 0).WithReference(printedMap),
		asm.Mov.Imm(asm.R2, printedSize), asm.Mov.Imm(asm.R3, 0),
		asm.FnRingbufReserve.Call(),
		asm.JEq.Imm(asm.R0, 0, lost),
		asm.StoreMem(asm.RFP, slotRecord, asm.R0, asm.DWord),
		asm.FnGetSmpProcessorId.Call(),
		asm.LoadMem(asm.R1, asm.RFP, slotRecord, asm.DWord),
		asm.StoreMem(asm.R1, 0, asm.R0, asm.Word),
		asm.StoreImm(asm.R1, 4, e.number(), asm.Word),
		asm.StoreImm(asm.R1, printedText, 0, asm.Byte), // the text, should there be none
		asm.Add.Imm(asm.R1, printedText),
		asm.Mov.Imm(asm.R2, printedSize-printedText),
		asm.LoadMem(asm.R3, asm.RFP, slotFmt, asm.DWord),
	)
	insns = append(insns, data...)
	insns = append(insns,
		asm.FnSnprintf.Call(),
		asm.StoreMem(asm.RFP, slotRet, asm.R0, asm.DWord),
		asm.LoadMem(asm.R1, asm.RFP, slotRecord, asm.DWord), asm.Mov.Imm(asm.R2, 0),
		asm.FnRingbufSubmit.Call(),
		asm.LoadMem(asm.R0, asm.RFP, slotRet, asm.DWord),
		asm.JSLE.Imm(asm.R0, 0, name+"_out"),
		asm.Sub.Imm(asm.R0, 1), // bpf_snprintf counts the zero behind the text
		asm.Return().WithSymbol(name+"_out"),
	)
	add := e.add(printedName, asm.R1, asm.R2)
	add[0] = add[0].WithSymbol(lost)
	insns = append(append(insns, add...), asm.Mov.Imm(asm.R0, int32(-int64(errno.EAGAIN))), asm.Return())
	return e.function(name, i, insns)
}

// function makes instructions a function, which is called at instruction i.
func (e *editor) function(name string, i int, insns asm.Instructions) asm.Instructions {
	insns[0] = insns[0].WithSymbol(name)
	if src := e.lineBefore(i); src != nil {
		insns[0] = insns[0].WithSource(src)
	}
	if btf.FuncMetadata(&e.insns[0]) != nil {
		insns[0] = btf.WithFuncMetadata(insns[0], &btf.Func{
			Name: name, Linkage: btf.StaticFunc,
			Type: &btf.FuncProto{Return: &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}},
		})
	}
	return insns
}

// lineBefore is the line of source of an instruction, which may stand at one before it.
func (e *editor) lineBefore(i int) fmt.Stringer {
	for ; i > 0 && e.insns[i].Source() == nil; i-- {
	}
	return e.insns[i].Source()
}

// conversions counts the arguments that a format is for.
func conversions(format string) int {
	return strings.Count(strings.ReplaceAll(format, "%%", ""), "%")
}
