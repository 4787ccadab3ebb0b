package bench

import (
	"fmt"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/vm"
)

// BenchmarkCompile is what compiling takes for each instruction, without
// verifying, and how many bytes of machine code an instruction becomes, in
// programs of about so many instructions. Linux walks no more than a million, some
// of them twice.
func BenchmarkCompile(b *testing.B) {
	for _, n := range []int{16, 400, 4000, 100_000, 950_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			spec := longSpec(n)
			size := float64(spec.Programs["long"].Instructions.Size() / 8)
			engines := append(Ours(vm.ProgramOptions{})[1:], Linux)
			best := make([]Code, len(engines))
			for b.Loop() {
				for i, e := range engines {
					if e.Name == Linux.Name && best[i].Bytes > 0 {
						continue // it does not tell what compiling took
					}
					c, err := e.Load(spec)
					if err != nil {
						b.Logf("without %s: %v", e.Name, err)
						continue
					}
					if code := c.Code("long"); best[i] == (Code{}) || code.Took < best[i].Took {
						best[i] = code
					}
					c.Close()
				}
			}
			b.ReportMetric(0, "ns/op")
			for i, e := range engines {
				if best[i].Took > 0 {
					b.ReportMetric(float64(best[i].Took)/size, e.Name+"-ns/insn")
				}
				if best[i].Bytes > 0 {
					b.ReportMetric(float64(best[i].Bytes)/size, e.Name+"-bytes/insn")
				}
			}
		})
	}
}

// longSpec is a program of about n instructions, as packet programs have them: it
// loads, computes, keeps numbers on the stack, and branches.
func longSpec(n int) *ebpf.CollectionSpec {
	const packetUsed = 64
	insns := asm.Instructions{
		asm.LoadMem(asm.R6, asm.R1, 76, asm.Word), // data
		asm.LoadMem(asm.R2, asm.R1, 80, asm.Word), // data_end
		asm.Mov.Imm(asm.R0, 0),
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Add.Imm(asm.R1, packetUsed),
		asm.JLE.Reg(asm.R1, asm.R2, "long_enough"),
		asm.Return(),
		asm.Mov.Imm(asm.R7, 0).WithSymbol("long_enough"),
	}
	end := asm.Instructions{asm.Mov.Reg(asm.R0, asm.R7), asm.Return()}
	apart := 1 + jumps*n/stepInsns/maxJumps
	for i := 0; len(insns)+stepInsns+len(end) <= n; i++ {
		insns = append(insns, step(i, packetUsed, i%apart == 0)...)
	}
	return &ebpf.CollectionSpec{Programs: map[string]*ebpf.ProgramSpec{
		"long": {Name: "long", Type: ebpf.SchedCLS, License: "GPL", Instructions: append(insns, end...)},
	}}
}

// Instructions of a step, and conditional jumps of those that have them: two, as
// Linux remembers no states after one.
const (
	stepInsns = 16
	jumps     = 2
)

// maxJumps is how many conditional jumps Linux lets follow one another on a path.
const maxJumps = 8192

// step is the i-th part of a long program, with jumps or without.
func step(i, packetUsed int, jumps bool) asm.Instructions {
	at, slot := int16(i*4%packetUsed), int16(-8*(1+i%8))
	skip := fmt.Sprintf("step_%d", i)
	middle := asm.Instructions{
		asm.JGT.Imm(asm.R4, int32(i%200), skip),
		asm.JSet.Imm(asm.R2, 1, skip),
	}
	if !jumps {
		middle = asm.Instructions{asm.RSh.Imm(asm.R4, 1), asm.Or.Reg(asm.R4, asm.R3)}
	}
	insns := asm.Instructions{
		asm.LoadMem(asm.R1, asm.R6, at, asm.Word),
		asm.LoadMem(asm.R2, asm.R6, at^2, asm.Half),
		asm.Xor.Reg(asm.R1, asm.R2),
		asm.Mul.Imm(asm.R1, int32(2*i+1)),
		asm.Mov.Reg(asm.R3, asm.R1),
		asm.RSh.Imm(asm.R3, 7),
		asm.Add.Reg(asm.R1, asm.R3),
		asm.StoreMem(asm.RFP, slot, asm.R1, asm.DWord),
		asm.Mov.Reg32(asm.R4, asm.R1),
		asm.LSh.Imm32(asm.R4, 3),
		asm.And.Imm(asm.R4, 0xff),
	}
	insns = append(insns, middle...)
	return append(insns,
		asm.Add.Reg(asm.R7, asm.R4),
		asm.LoadMem(asm.R5, asm.RFP, slot, asm.DWord).WithSymbol(skip),
		asm.Add.Reg(asm.R7, asm.R5),
	)
}
