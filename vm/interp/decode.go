package interp

import (
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/helper"
)

// tailCallID is the helper that the engine does itself.
const tailCallID = 12

// decode gives the op of an instruction.
func (c *compiler) decode(i int) (op, error) {
	ins := c.in.Insns[i]
	if ins.Dst > isa.R10 {
		return op{}, fmt.Errorf("there is no register R%d", ins.Dst)
	}
	o := op{dst: ins.Dst, src: ins.Src, imm: uint64(int64(ins.Imm))}
	if err := reserved(ins); err != nil {
		return op{}, err
	}
	switch ins.Class() {
	case isa.ClassLD:
		if o, err := c.decodeLD(i, o); err != nil || !writesR10(ins) {
			return o, err
		}
		return c.trap(writesFramePointer), nil
	case isa.ClassJMP, isa.ClassJMP32:
		return c.decodeJump(i, o)
	}
	if ins.Src > isa.R10 {
		return op{}, fmt.Errorf("there is no register R%d", ins.Src)
	}
	variant := int32(0)
	switch ins.Class() {
	case isa.ClassALU, isa.ClassALU64:
		switch ins.Op & 0xf0 {
		case isa.AluEND:
			variant = ins.Imm
		case isa.AluMOV:
			if ins.Off == 1 && ins.Op == isa.ClassALU64|isa.SrcX|isa.AluMOV {
				return c.decodeCast(o, ins)
			}
			fallthrough
		default:
			variant = int32(ins.Off)
		}
		ins.Op, o.imm = c.canonical(ins, o.imm)
	default:
		o.off = int32(ins.Off)
		if ins.Op&0xe7 == isa.ClassSTX|isa.ModeATOMIC {
			variant = ins.Imm
		}
	}
	code, ok := codeOf(ins.Op, variant)
	if !ok {
		return op{}, fmt.Errorf("unknown instruction: opcode 0x%02x, off %d, imm 0x%x", ins.Op, ins.Off, uint32(ins.Imm))
	}
	o.code = code
	if writesR10(ins) {
		return c.trap(writesFramePointer), nil
	}
	return o, nil
}

// writesFramePointer is why an instruction must not be reached. Linux's verifier
// sees no fault in one that never is.
const writesFramePointer = "writes to R10, the frame pointer"

// writesR10 reports whether the instruction changes the frame pointer.
func writesR10(ins isa.Instruction) bool {
	return (writesDst(ins) || ins.IsWide()) && ins.Dst == isa.R10 || fetches(ins) && ins.Src == isa.R10
}

// canonical folds opcodes that do the same on a little-endian machine: a 32-bit
// move of a constant is a 64-bit one of the constant cut to 32 bits, and an
// unconditional byte swap is one to big endian.
func (c *compiler) canonical(ins isa.Instruction, imm uint64) (uint8, uint64) {
	switch ins.Op {
	case isa.ClassALU | isa.SrcK | isa.AluMOV:
		return isa.ClassALU64 | isa.SrcK | isa.AluMOV, uint64(uint32(ins.Imm))
	case isa.ClassALU64 | isa.SrcK | isa.AluEND:
		return isa.ClassALU | isa.SrcX | isa.AluEND, imm
	}
	return ins.Op, imm
}

// writesDst reports whether the instruction changes its destination register.
func writesDst(ins isa.Instruction) bool {
	switch ins.Class() {
	case isa.ClassALU, isa.ClassALU64, isa.ClassLDX:
		return true
	}
	return isLoadAcquire(ins)
}

// fetches reports whether an atomic instruction changes its source register.
func fetches(ins isa.Instruction) bool {
	return ins.Op&0xe7 == isa.ClassSTX|isa.ModeATOMIC && ins.Imm&isa.AtomicFetch != 0 && ins.Imm != isa.AtomicCMPXCHG
}

// decodeCast is the arena's address-space cast.
func (c *compiler) decodeCast(o op, ins isa.Instruction) (op, error) {
	switch ins.Imm {
	case 1: // from user space's addresses to the machine's
		o.code = codeCastKernel
	case 1 << 16:
		o.code = codeCastUser
	default:
		return op{}, fmt.Errorf("casts between address spaces %d and %d; there are 0 and 1", uint32(ins.Imm)>>16, uint16(ins.Imm))
	}
	if ins.Dst == isa.R10 || ins.Src > isa.R10 {
		return op{}, fmt.Errorf("casts from R%d to R%d", ins.Src, ins.Dst)
	}
	if c.prog.arena == nil {
		for _, m := range c.in.Maps {
			if a, ok := m.(Arena); ok {
				c.prog.arena = newArena(a)
			}
		}
		if c.prog.arena == nil {
			return op{}, fmt.Errorf("casts an arena's address, and the program refers to no arena map")
		}
	}
	o.imm = 0
	return o, nil
}

// decodeLD is wide loads and the legacy packet loads.
func (c *compiler) decodeLD(i int, o op) (op, error) {
	ins := c.in.Insns[i]
	if !ins.IsWide() {
		if mode := ins.Op & 0xe0; mode != isa.ModeABS && mode != isa.ModeIND || ins.Op&0x18 == isa.SizeDW {
			return op{}, fmt.Errorf("unknown instruction: opcode 0x%02x", ins.Op)
		}
		switch t := c.in.Type; t.Prog {
		case ebpf.SocketFilter, ebpf.SchedCLS, ebpf.SchedACT:
		default:
			return op{}, fmt.Errorf("programs of type %s have no packet loads (LD_ABS, LD_IND): read through data and data_end", t.Name)
		}
		o.code = codeLdPacket
		return o, nil
	}
	high := c.in.Insns[i+1].Imm
	o.code, o.imm = codeLddwPointer, 0
	var from exec.Prov
	switch ins.Src {
	case isa.PseudoNone:
		o.code, o.imm = codeLddw, uint64(uint32(ins.Imm))|uint64(uint32(high))<<32
		return o, nil
	case isa.PseudoMapFD, isa.PseudoMapIdx, isa.PseudoMapValue, isa.PseudoMapIdxV:
		if ins.Imm < 0 || int(ins.Imm) >= len(c.in.Maps) {
			return op{}, fmt.Errorf("loads map %d, and the program refers to %d maps", ins.Imm, len(c.in.Maps))
		}
		info := c.in.Maps[ins.Imm].Info()
		if ins.Src == isa.PseudoMapFD || ins.Src == isa.PseudoMapIdx {
			if high != 0 {
				return op{}, fmt.Errorf("loads a map with an offset")
			}
			o.imm, from = uint64(info.Handle), exec.Make(exec.RegionMap, uint32(info.Handle))
			break
		}
		if a, ok := c.in.Maps[ins.Imm].(Arena); ok { // user space's address, cast before use
			if uint64(uint32(high)) >= uint64(info.Values.Size) {
				return op{}, fmt.Errorf("loads the address of byte %d of arena %s, which has %d", uint32(high), info.Name, info.Values.Size)
			}
			o.imm = a.UserBase() + uint64(uint32(high))
			break
		}
		if info.Values.N == 0 {
			return op{}, fmt.Errorf("loads the address of a value of map %s, and maps of type %s have none", info.Name, info.Type)
		}
		if uint64(uint32(high)) >= uint64(info.Values.Size) {
			return op{}, fmt.Errorf("loads the address of byte %d of a value of map %s, which has %d", uint32(high), info.Name, info.Values.Size)
		}
		o.imm, from = uint64(info.Values.Base)+uint64(uint32(high)), exec.MapValue(info.Handle, 0)
	case isa.PseudoFunc:
		target, err := c.target(i, int64(ins.Imm))
		if err != nil {
			return op{}, err
		}
		o.imm, from = uint64(target), exec.Make(exec.RegionFunc, uint32(target))
	case isa.PseudoBTFID:
		return op{}, fmt.Errorf("loads the address of a kernel variable (BTF id %d), and there is no kernel here", ins.Imm)
	default:
		return op{}, fmt.Errorf("unknown kind of wide load: src %d", ins.Src)
	}
	o.off = int32(len(c.prog.provs))
	c.prog.provs = append(c.prog.provs, from)
	return o, nil
}

// decodeJump is jumps, calls and exit.
func (c *compiler) decodeJump(i int, o op) (op, error) {
	ins := c.in.Insns[i]
	if distance, ok := jumpDistance(ins); ok {
		code, ok := codeOf(ins.Op, 0)
		if ins.Op == isa.ClassJMP32|isa.JmpJA {
			code, ok = codeJa, true
		}
		if !ok {
			return op{}, fmt.Errorf("unknown instruction: opcode 0x%02x", ins.Op)
		}
		if ins.Src > isa.R10 {
			return op{}, fmt.Errorf("there is no register R%d", ins.Src)
		}
		target, err := c.target(i, distance)
		if err != nil {
			return op{}, err
		}
		o.code = code
		o.jump(i, target)
		return o, nil
	}
	switch ins.Op {
	case isa.ClassJMP | isa.JmpEXIT:
		o.code = codeExit
		return o, nil
	case isa.ClassJMP | isa.SrcX | isa.JmpCALL:
		o.code = codeCallX
		return o, nil
	case gotox:
		return c.decodeGotox(i, o)
	case isa.ClassJMP | isa.JmpCALL:
	default:
		return op{}, fmt.Errorf("unknown instruction: opcode 0x%02x", ins.Op)
	}
	switch ins.Src {
	case isa.CallLocal:
		target, err := c.target(i, int64(ins.Imm))
		if err != nil {
			return op{}, err
		}
		o.code = codeCallLocal
		o.jump(i, target)
		return o, nil
	case isa.CallHelper:
		return c.decodeHelper(i, o)
	case isa.CallKfunc:
		return c.decodeKfunc(i, o)
	}
	return op{}, fmt.Errorf("unknown kind of call: src %d", ins.Src)
}

// decodeHelper is the call of a helper.
func (c *compiler) decodeHelper(i int, o op) (op, error) {
	id := uint32(c.in.Insns[i].Imm)
	if id == tailCallID {
		o.code = codeTailCall
		return o, nil
	}
	if _, poisoned := c.in.Poisoned[i]; poisoned {
		return o, nil // never reached: it need not exist
	}
	h := helper.ByID(id)
	if h == nil {
		return op{}, fmt.Errorf("calls %s (helper %d), which the user-space machine does not have", helperName(id), id)
	}
	if !h.AllowedIn(c.in.Type.Prog) {
		return op{}, fmt.Errorf("calls %s (helper %d), which programs of type %s may not call", h.Name, id, c.in.Type.Name)
	}
	if h.GPL && c.in.Proprietary {
		return op{}, fmt.Errorf("calls %s (helper %d): cannot call GPL-restricted function from non-GPL compatible program; the object's section license says what it is under", h.Name, id)
	}
	at, ok := c.calls[id]
	if !ok {
		at = int32(len(c.prog.helpers))
		c.calls[id] = at
		c.prog.helpers = append(c.prog.helpers, h)
	}
	o.code, o.off = codeCallHelper, at
	return o, nil
}

// helperName is a helper's name in linux/bpf.h, also of one that the machine
// does not have.
func helperName(id uint32) string {
	if e, ok := helper.FromLinux(id); ok {
		return e.Name
	}
	return "an unknown helper"
}
