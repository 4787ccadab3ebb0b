package interp

import (
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// Form is how an engine that relies on the verifier does an access of memory.
type Form uint8

// The forms.
const (
	// Plain is as the instruction says, at the address that the register holds.
	Plain Form = iota
	// Field is a load or store of a context's field: as [Access] says.
	Field
	// Slow is done by [Program.Slow].
	Slow
)

// Access is how the load, store or atomic operation of an instruction is done.
type Access struct {
	Form Form
	// Of a Field: Width bytes (1, 2, 4 or 8) are loaded or stored Off bytes behind the
	// address that the register holds, in place of what the instruction says; what a load
	// gives is these bytes, zero-extended, shifted right by Shift bits and masked with Mask.
	Width uint8
	Shift uint8
	Off   int32
	Mask  uint64
	// Limit, where it is not 0, is the least number whose store of four bytes into the
	// Field does nothing.
	Limit uint32
}

// Access says how the access of an instruction is done, in a program that has facts.
func (p *Program) Access(insn int) Access { return p.in.access(insn) }

func (in *Input) access(i int) Access {
	f := &in.Facts[i]
	switch f.Memory {
	case verifier.MemNone, verifier.MemPlain:
		return Access{}
	case verifier.MemContext:
		if len(in.Type.Fields) == 0 {
			return Access{}
		}
		if a, ok := fieldAccess(in.Type, in.Insns[i], f.Offset); ok {
			return a
		}
	}
	return Access{Form: Slow}
}

// fieldAccess is an access of a field through a register that points reg bytes into
// the context; false where that is no plain load or store.
func fieldAccess(t *progtype.Type, ins isa.Instruction, reg int32) (Access, bool) {
	if reg == verifier.VaryingOffset || ins.Op&0xe0 != isa.ModeMEM {
		return Access{}, false
	}
	size, off, write := isa.SizeOf(ins.Op), int(reg)+int(ins.Off), ins.Class() != isa.ClassLDX
	f, err := t.Access(off, size, write)
	if err != nil || write && (f.Limit != 0 && size != 4 || int(f.Width) > size) {
		return Access{}, false
	}
	at, mask := int32(f.At)-reg, ^uint64(0)
	if f.Width == 0 { // as programs see it
		return Access{Form: Field, Width: uint8(size), Off: at + int32(off-int(f.Off)), Mask: mask}, true
	}
	if f.Kind == progtype.Scalar {
		mask >>= 64 - size*8
	}
	a := Access{Form: Field, Width: f.Width, Shift: uint8(f.Shift(off, size)), Off: at, Mask: mask}
	if write {
		a.Limit = f.Limit
	}
	return a, true
}

// fieldCode is the code of the fast loop's op for an access of a field of width bytes.
func fieldCode(ins isa.Instruction, width uint8) uint8 {
	if ins.Class() == isa.ClassLDX {
		return fieldLoads[width]
	}
	code, _ := codeOf(ins.Op&^sizes|sizeOf[width], 0)
	return code
}

var fieldLoads = map[uint8]uint8{1: codeLdxCtxB, 2: codeLdxCtxH, 4: codeLdxCtxW, 8: codeLdxCtxDW}

// sizes are an opcode's bits for how many bytes are accessed.
const sizes = isa.SizeB | isa.SizeH | isa.SizeW | isa.SizeDW

var sizeOf = map[uint8]uint8{1: isa.SizeB, 2: isa.SizeH, 4: isa.SizeW, 8: isa.SizeDW}

// convert gives the ops of the fast loop: those of the checked one, but for accesses
// that are no plain ones.
func (c *compiler) convert() []op {
	ops := append([]op(nil), c.prog.ops...)
	for i := range c.in.Insns {
		switch a := c.in.access(i); {
		case c.second[i], ops[i].code == codeTrap:
		case !c.in.Facts[i].Reached:
			ops[i] = c.trap("the verifier found no way here")
		case a.Form == Slow, a.Limit != 0:
			ops[i].code = codeSlow
		case a.Form == Field:
			ops[i].code, ops[i].off = fieldCode(c.in.Insns[i], a.Width), a.Off
			if c.in.Insns[i].Class() == isa.ClassLDX {
				ops[i].shift, ops[i].imm = a.Shift, a.Mask
			}
		case ops[i].code == codeCallLocal:
			ops[i].imm = c.in.Facts[i+1+int(c.in.Insns[i].Imm)].Uninit
		case ops[i].code == codeCallHelper && c.in.Facts[i].Kernel != 0:
			h := c.prog.guarded(i, c.prog.helpers[ops[i].off], c.in.Facts[i].Kernel)
			ops[i].off = int32(len(c.prog.helpers))
			c.prog.helpers = append(c.prog.helpers, h)
		}
	}
	return ops
}
