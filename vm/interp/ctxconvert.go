package interp

import (
	"slices"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// callbacks are the functions that helpers may call, and exceptions.
func (c *compiler) callbacks() []int {
	var all []int
	if c.in.Exception != 0 {
		all = append(all, c.in.Exception)
	}
	for _, p := range c.prog.provs {
		if p.Region() == exec.RegionFunc {
			all = append(all, int(p.Elem()))
		}
	}
	return all
}

// convertContext gives the ops for the fast loop: those of the checked one, with
// accesses of the context converted. It gives nil where an access may or may not
// be one, or where only the checked loop follows a pointer: one that typed memory
// holds, or to a map.
func (c *compiler) convertContext() []op {
	if c.in.Type.Typed {
		return nil
	}
	if len(c.in.Type.Fields) == 0 && len(c.in.Maps) == 0 {
		return c.prog.ops
	}
	ops := slices.Clone(c.prog.ops)
	for i, base := range c.pointers() {
		switch {
		case ops[i].code == codeTrap:
		case base == unknown, base == mapPtr:
			return nil
		case base.kind() == ctxPtr:
			ops[i] = convert(c.in.Type, c.in.Insns[i], ops[i], int(base.off()))
		}
	}
	return ops
}

// ctxLoads are the loads of fields by the bytes that they really have.
var ctxLoads = map[int]uint8{1: codeLdxCtxB, 2: codeLdxCtxH, 4: codeLdxCtxW, 8: codeLdxCtxDW}

// convert is the op for an access of the context whose base register is reg
// bytes into it. What is neither a plain load nor allowed is left to accessCtx.
func convert(t *progtype.Type, ins isa.Instruction, o op, reg int) op {
	size, off := isa.SizeOf(ins.Op), reg+int(ins.Off)
	f, err := t.Access(off, size, false)
	if err != nil || ins.Class() != isa.ClassLDX || ins.Op&0xe0 != isa.ModeMEM {
		o.code = codeAccessCtx
		return o
	}
	in, width := off-int(f.Off), int(f.Width)
	o.imm = ^uint64(0)
	if width == 0 { // as programs see it
		o.code, o.off = ctxLoads[size], int32(int(f.At)+in-reg)
		return o
	}
	o.code, o.off, o.shift = ctxLoads[width], int32(int(f.At)-reg), uint8(f.Shift(off, size))
	if f.Kind == progtype.Scalar {
		o.imm >>= 64 - size*8
	}
	return o
}
