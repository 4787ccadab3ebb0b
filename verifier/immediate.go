package verifier

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/isa"
)

// checkImmediate refuses a wide load that names nothing, before any path is followed.
// upper is what its second slot holds.
func (c *checker) checkImmediate(ins *isa.Instruction, upper uint32) error {
	switch ins.Src {
	case isa.PseudoNone, isa.PseudoFunc:
		return nil
	case isa.PseudoBTFID:
		if upper != 0 {
			return c.fail(CauseUnsupported, "the variable is of a module, whose types are unknown")
		}
		_, err := c.kernelVariable(ins)
		return err
	case isa.PseudoMapFD, isa.PseudoMapIdx:
		if upper != 0 {
			return c.fail(CauseInstruction, "unrecognized bpf_ld_imm64 insn")
		}
		_, err := c.mapAt(ins)
		return err
	case isa.PseudoMapValue, isa.PseudoMapIdxV:
		m, err := c.mapAt(ins)
		if err != nil {
			return err
		}
		return c.checkValueAddress(m, upper)
	}
	return c.fail(CauseInstruction, "unrecognized bpf_ld_imm64 insn")
}

// mapAt is the map that a wide load names.
func (c *checker) mapAt(ins *isa.Instruction) (*Map, error) {
	if ins.Imm < 0 || int(ins.Imm) >= len(c.maps) {
		return nil, c.fail(CauseMap, "fd %d is not pointing to valid bpf_map", ins.Imm)
	}
	return c.maps[ins.Imm], nil
}

// checkValueAddress refuses the address of a value that the map does not have, or has
// no address of (map_direct_value_addr).
func (c *checker) checkValueAddress(m *Map, off uint32) error {
	size := uint64(m.ValueSize)
	switch {
	case off >= maxVarOff && !c.since(7, 0):
		return c.fail(CauseMap, "direct value offset of %d is not allowed", off)
	case m.Type == ebpf.Arena:
		size = uint64(m.MaxEntries) * pageSize
	case m.isInsnArray():
		size = uint64(m.MaxEntries) * 8
	case m.Type != ebpf.Array:
		return c.fail(CauseMap, "no direct value access support for this map type")
	case m.MaxEntries != 1:
		size = 0
	}
	if uint64(off) >= size || m.isInsnArray() && off%8 != 0 {
		return c.fail(CauseMap, "invalid access to map value pointer, value_size=%d off=%d", m.ValueSize, off)
	}
	return nil
}

// pageSize is the size of an arena's page, bytes.
const pageSize = 4096

// loadImm64 looks at a wide immediate load: a number, map, map value, variable or
// function. It leaves c.insn at its second slot.
func (c *checker) loadImm64(ins *isa.Instruction) error {
	if err := c.write(ins.Dst); err != nil {
		return err
	}
	second := &c.insns[c.insn+1]
	dst := c.reg(ins.Dst)
	switch ins.Src {
	case isa.PseudoNone:
		dst.setConst(uint64(uint32(ins.Imm)) | uint64(uint32(second.Imm))<<32)
	case isa.PseudoMapFD, isa.PseudoMapIdx:
		dst.setPointer(ConstPtrToMap, 0)
		dst.Map = c.maps[ins.Imm]
	case isa.PseudoMapValue, isa.PseudoMapIdxV:
		m := c.maps[ins.Imm]
		if m.Type == ebpf.Arena {
			dst.setUnknown()
			dst.Map = m
			break
		}
		dst.setPointer(PtrToMapValue, 0)
		dst.Off, dst.Map = second.Imm, m
	case isa.PseudoFunc:
		fn, err := c.callbackAt(c.insn + 1 + int(ins.Imm))
		if err != nil {
			return err
		}
		dst.setPointer(PtrToFunc, 0)
		dst.Size = uint32(fn)
	case isa.PseudoBTFID:
		r, err := c.kernelVariable(ins)
		if err != nil {
			return err
		}
		*dst = r
	}
	c.insn++
	return nil
}

// callbackAt is the function that begins at an instruction and whose address is taken.
func (c *checker) callbackAt(start int) (int, error) {
	for i := range c.funcs {
		f := &c.funcs[i]
		switch {
		case f.Start != start:
		case f.Type == nil:
			return 0, c.fail(CauseBTF, "missing btf func_info")
		case f.Type.Linkage != btf.StaticFunc:
			return 0, c.fail(CauseCallback, "callback function not static")
		case i == 0:
			return 0, c.fail(CauseCallback, "callback function cannot be the main program")
		default:
			return i, nil
		}
	}
	return 0, c.fail(CauseControlFlow, "there is no function at insn %d", start)
}

// kernelVariable is what the address of a variable of the kernel is, which the load
// names by the id of its type.
func (c *checker) kernelVariable(ins *isa.Instruction) (Reg, error) {
	var r Reg
	spec := c.kernelTypes()
	if spec == nil {
		return r, c.fail(CauseUnsupported, "the kernel's types are unknown")
	}
	t, err := spec.TypeByID(btf.TypeID(ins.Imm))
	if err != nil {
		return r, c.fail(CauseBTF, "ldimm64 insn specifies invalid btf_id %d.", ins.Imm)
	}
	v, ok := t.(*btf.Var)
	if !ok {
		if _, fn := t.(*btf.Func); !fn {
			return r, c.fail(CauseBTF, "pseudo btf_id %d in ldimm64 isn't KIND_VAR or KIND_FUNC", ins.Imm)
		}
		r.setPointer(PtrToMem, Readonly)
		return r, nil
	}
	_, _, isStruct := members(v.Type)
	switch size, known := sizeOf(v.Type); {
	case isPerCPU(spec, v):
		r.setPointer(PtrToBTF, PerCPU)
		r.BTF = c.typeOf(v.Type, true)
	case isStruct:
		r.setPointer(PtrToBTF, 0)
		r.BTF = c.typeOf(v.Type, true)
	case !known:
		return r, c.fail(CauseBTF, "ldimm64 unable to resolve the size of type '%s'", v.Type.TypeName())
	default:
		r.setPointer(PtrToMem, Readonly)
		r.Size = size
	}
	return r, nil
}

// isPerCPU reports whether each CPU has a variable of its own.
func isPerCPU(spec *btf.Spec, v *btf.Var) bool {
	var section *btf.Datasec
	if spec.TypeByName(".data..percpu", &section) != nil {
		return false
	}
	for _, s := range section.Vars {
		if s.Type == v {
			return true
		}
	}
	return false
}
