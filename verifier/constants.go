package verifier

import (
	"encoding/binary"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/verifier/scalar"
)

// constant is what a register is known to hold on every path to an instruction,
// found before the walk. It decides branches that are constant in the source, so
// that what they lead to does not count as read.
type constant struct {
	value uint64 // the number, the offset into the map's value, or the function
	m     int32  // the map, as an index into checker.maps
	kind  constantKind
}

type constantKind uint8

const (
	constantUnseen  constantKind = iota // no path seen yet
	constantUnknown                     // different things
	constantNumber
	constantMap
	constantMapValue
	constantFunc
)

// constants are those of R0 to R10.
type constants [11]constant

var unknownConstant = constant{kind: constantUnknown}

// findConstants computes the constants before each instruction, and makes jumps of
// the comparisons whose result they tell.
func (c *checker) findConstants() {
	c.findPostorder()
	known := make([]constants, len(c.insns))
	for i := range c.funcs {
		for r := range known[0] {
			known[c.funcs[i].Start][r] = unknownConstant
		}
	}
	var buf [2]int
	for changed := true; changed; {
		changed = false
		for n := range c.funcs {
			order := c.funcs[n].postorder
			for k := len(order) - 1; k >= 0; k-- {
				i := int(order[k])
				out := known[i]
				out.follow(c, i)
				for _, s := range c.successors(i, &buf) {
					changed = known[s].join(&out) || changed
				}
			}
		}
	}
	c.constants = known
	c.noteConstants()
	if !c.since(7, 1) {
		return
	}
	decided := false
	for i := range c.insns {
		taken, ok := known[i].decide(&c.insns[i])
		if !ok {
			continue
		}
		if !decided {
			c.insns, decided = append([]isa.Instruction(nil), c.insns...), true
		}
		jump := isa.Instruction{Op: isa.ClassJMP | isa.JmpJA}
		if taken {
			jump.Off = c.insns[i].Off
		}
		c.insns[i] = jump
	}
	if decided {
		c.findPostorder()
	}
}

// noteConstants notes the numbers that instructions always leave in the register that
// they write.
func (c *checker) noteConstants() {
	for i := range c.insns {
		reg, ok := c.insns[i].Writes()
		if !ok || reg > isa.R10 || c.constants[i][reg].kind == constantUnseen {
			continue
		}
		behind := c.constants[i]
		behind.follow(c, i)
		if k := behind[reg]; k.kind == constantNumber {
			v := scalar.Const(k.value)
			c.aux[i].number = &v
		}
	}
}

// join adds what is known at the end of one more path; it reports whether that
// changed anything.
func (k *constants) join(other *constants) (changed bool) {
	for r := range k {
		switch old, other := &k[r], &other[r]; {
		case old.kind == constantUnseen:
			changed = changed || other.kind != constantUnseen
			*old = *other
		case old.kind != constantUnknown && *old != *other:
			*old, changed = unknownConstant, true
		}
	}
	return changed
}

// follow makes of the constants before an instruction those behind it.
func (k *constants) follow(c *checker, i int) {
	ins := &c.insns[i]
	dst, src := &k[ins.Dst], &k[ins.Src]
	switch ins.Class() {
	case isa.ClassALU, isa.ClassALU64:
		dst.compute(ins, src)
	case isa.ClassLD:
		if !ins.IsWide() {
			k.clobber()
			return
		}
		*dst = c.constantLoad(i)
	case isa.ClassLDX:
		*dst = c.loadedConstant(src, ins)
	case isa.ClassSTX:
		if r := atomicResult(ins); r >= 0 {
			k[r] = unknownConstant
		}
	case isa.ClassJMP:
		if ins.Op&0xf0 == isa.JmpCALL {
			k.clobber()
		}
	}
}

// clobber forgets what a call changes.
func (k *constants) clobber() {
	for r := isa.R0; r <= isa.R5; r++ {
		k[r] = unknownConstant
	}
}

// compute makes of a register what an arithmetic instruction does.
func (k *constant) compute(ins *isa.Instruction, src *constant) {
	number := k.kind == constantNumber
	imm := uint64(int64(ins.Imm))
	switch ins.Op &^ 7 {
	case isa.AluMOV | isa.SrcK:
		*k = constant{kind: constantNumber, value: imm}
	case isa.AluMOV | isa.SrcX:
		*k = *src
		if ins.Off != 0 {
			k.signExtend(int(ins.Off))
		}
	case isa.AluADD | isa.SrcK, isa.AluSUB | isa.SrcK:
		if ins.Op&0xf0 == isa.AluSUB {
			imm = -imm
		}
		if !number && k.kind != constantMapValue {
			*k = unknownConstant
			break
		}
		k.value += imm
	case isa.AluAND | isa.SrcK:
		switch {
		case number:
			k.value &= imm
		case imm == 0:
			*k = constant{kind: constantNumber}
		default:
			*k = unknownConstant
		}
	case isa.AluAND | isa.SrcX:
		switch other := src.kind == constantNumber; {
		case number && k.value == 0:
		case other && src.value == 0:
			*k = constant{kind: constantNumber}
		case number && other:
			k.value &= src.value
		default:
			*k = unknownConstant
		}
	default:
		*k = unknownConstant
	}
	if ins.Class() == isa.ClassALU {
		if k.kind != constantNumber {
			*k = unknownConstant
		}
		k.value = uint64(uint32(k.value))
	}
}

// signExtend is a move of the lower bits.
func (k *constant) signExtend(bits int) {
	switch {
	case k.kind != constantNumber:
		*k = unknownConstant
	case bits == 8:
		k.value = uint64(int8(k.value))
	case bits == 16:
		k.value = uint64(int16(k.value))
	case bits == 32:
		k.value = uint64(int32(k.value))
	default:
		*k = unknownConstant
	}
}

// constantLoad is what a wide load puts into its register.
func (c *checker) constantLoad(i int) constant {
	ins, upper := &c.insns[i], c.insns[i+1].Imm
	switch ins.Src {
	case isa.PseudoNone:
		return constant{kind: constantNumber, value: uint64(uint32(ins.Imm)) | uint64(uint32(upper))<<32}
	case isa.PseudoFunc:
		return constant{kind: constantFunc, value: uint64(c.funcAt(callee(i, ins)))}
	case isa.PseudoMapFD, isa.PseudoMapValue:
		if n := int(ins.Imm); n >= 0 && n < len(c.maps) {
			k := constant{kind: constantMap, m: ins.Imm}
			if ins.Src == isa.PseudoMapValue {
				k.kind, k.value = constantMapValue, uint64(uint32(upper))
			}
			return k
		}
	}
	return unknownConstant
}

// loadedConstant is what a load through a register gives: a number where it reads what
// cannot change.
func (c *checker) loadedConstant(k *constant, ins *isa.Instruction) constant {
	if k.kind != constantMapValue {
		return unknownConstant
	}
	value := c.maps[k.m].Frozen
	off, size := int64(int32(k.value))+int64(ins.Off), int64(isa.SizeOf(ins.Op))
	if off < 0 || off+size > int64(len(value)) {
		return unknownConstant
	}
	var b [8]byte
	copy(b[:], value[off:off+size])
	v := constant{kind: constantNumber, value: binary.LittleEndian.Uint64(b[:])}
	if ins.Op&0xe0 == isa.ModeMEMSX {
		v.signExtend(int(size) * 8)
	}
	return v
}

// atomicResult is the register that an atomic instruction loads; -1: none.
func atomicResult(ins *isa.Instruction) int {
	if ins.Op&0xe0 != isa.ModeATOMIC {
		return -1
	}
	switch {
	case ins.Imm == isa.AtomicCMPXCHG:
		return isa.R0
	case ins.Imm == isa.AtomicLoadAcq:
		return int(ins.Dst)
	case ins.Imm&isa.AtomicFetch != 0:
		return int(ins.Src)
	}
	return -1
}

// number gives a register's constant that fits into 32 bits.
func (k *constants) number(r uint8) (uint64, bool) {
	v := k[r]
	return v.value, v.kind == constantNumber && v.value == uint64(uint32(v.value))
}

// decide tells whether a comparison jumps, where that is known.
func (k *constants) decide(ins *isa.Instruction) (taken, ok bool) {
	if _, conditional := isJump(ins); !conditional || isMayGotoOp(ins) {
		return false, false
	}
	a, ok := k.number(ins.Dst)
	if !ok {
		return false, false
	}
	b := uint64(int64(ins.Imm))
	if ins.Op&isa.SrcX != 0 {
		if b, ok = k.number(ins.Src); !ok {
			return false, false
		}
	}
	if ins.Class() == isa.ClassJMP32 {
		// Sign extension keeps the order of both readings.
		a, b = uint64(int32(a)), uint64(int32(b))
	}
	switch ins.Op & 0xf0 {
	case isa.JmpJEQ:
		taken = a == b
	case isa.JmpJNE:
		taken = a != b
	case isa.JmpJGT:
		taken = a > b
	case isa.JmpJGE:
		taken = a >= b
	case isa.JmpJLT:
		taken = a < b
	case isa.JmpJLE:
		taken = a <= b
	case isa.JmpJSGT:
		taken = int64(a) > int64(b)
	case isa.JmpJSGE:
		taken = int64(a) >= int64(b)
	case isa.JmpJSLT:
		taken = int64(a) < int64(b)
	case isa.JmpJSLE:
		taken = int64(a) <= int64(b)
	case isa.JmpJSET:
		taken = a&b != 0
	}
	return taken, true
}
