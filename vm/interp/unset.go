package interp

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
)

// unset refuses a program that reads a register that nothing has set, or writes
// the frame pointer, as far as its first instructions show, which always run.
// What paths do is for the verifier.
func (c *compiler) unset() error {
	var set [isa.R10 + 1]bool
	set[isa.R1], set[isa.R10] = true, true
	for i, ins := range c.in.Insns {
		if c.second[i] {
			continue
		}
		if _, poisoned := c.in.Poisoned[i]; poisoned {
			return nil
		}
		if writesR10(ins) {
			return c.refuse(i, errors.New(writesFramePointer))
		}
		for _, r := range reads(ins) {
			if r == isa.R0 && !set[r] && isExit(ins) && c.mayReturnNothing() {
				return nil
			}
			if !set[r] {
				return c.refuse(i, fmt.Errorf("reads R%d, which nothing has set", r))
			}
		}
		switch ins.Class() {
		case isa.ClassJMP, isa.ClassJMP32:
			return nil
		case isa.ClassLD:
			if !ins.IsWide() {
				return nil
			}
			set[ins.Dst] = true
		case isa.ClassALU, isa.ClassALU64, isa.ClassLDX:
			set[ins.Dst] = true
		case isa.ClassSTX:
			switch {
			case isLoadAcquire(ins):
				set[ins.Dst] = true
			case fetches(ins):
				set[ins.Src] = true
			}
		}
	}
	return nil
}

func isExit(ins isa.Instruction) bool {
	return ins.Class() == isa.ClassJMP && ins.Op&0xf0 == isa.JmpEXIT
}

// mayReturnNothing reports whether there are functions without a result among those
// that programs of the type stand for.
func (c *compiler) mayReturnNothing() bool {
	return slices.Contains([]ebpf.ProgramType{ebpf.StructOps, ebpf.LSM, ebpf.Extension}, c.in.Type.Prog)
}

// reads gives the registers that an instruction other than a call reads.
func reads(ins isa.Instruction) []uint8 {
	register := ins.Op&isa.SrcX != 0
	switch ins.Class() {
	case isa.ClassALU, isa.ClassALU64:
		switch op := ins.Op & 0xf0; {
		case op == isa.AluMOV && register:
			return []uint8{ins.Src}
		case op == isa.AluMOV:
			return nil
		case op == isa.AluNEG || op == isa.AluEND || !register:
			return []uint8{ins.Dst}
		}
		return []uint8{ins.Dst, ins.Src}
	case isa.ClassLDX:
		return []uint8{ins.Src}
	case isa.ClassST:
		return []uint8{ins.Dst}
	case isa.ClassSTX:
		if isLoadAcquire(ins) {
			return []uint8{ins.Src}
		}
		return []uint8{ins.Dst, ins.Src}
	case isa.ClassJMP, isa.ClassJMP32:
		switch ins.Op & 0xf0 {
		case isa.JmpEXIT:
			return []uint8{isa.R0}
		case isa.JmpJA:
			if register {
				return []uint8{ins.Dst}
			}
			return nil
		case isa.JmpCALL, isa.JmpJCOND:
			return nil
		}
		if register {
			return []uint8{ins.Dst, ins.Src}
		}
		return []uint8{ins.Dst}
	}
	return nil
}
