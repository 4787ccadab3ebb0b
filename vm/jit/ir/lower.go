package ir

import "github.com/skep-ebpf/skep/isa"

// shape is which parts of an instruction of the bytecode are operands of what it
// becomes.
type shape uint8

const (
	shapeImm      shape = iota // dst and imm
	shapeReg                   // dst and src
	shapeMoveImm               // imm
	shapeMove                  // src
	shapeNeg                   // dst
	shapeEndian                // dst, and imm bits of it
	shapeLoad                  // memory at src: the last one that may be known to give a number
	shapeWide                  // what Source.Constant says
	shapeStoreImm              // memory at dst, and imm
	shapeStore                 // memory at dst, and src
	shapeAtomic                // as imm says
	shapeCall
)

// lowering is what an opcode becomes, without operands.
type lowering struct {
	ins   Ins
	shape shape
}

var lowerings = loweringTable()

// operations has the operations of two operands, by the upper four bits of the opcode.
var operations = [16]Op{
	isa.AluADD >> 4: Add, isa.AluSUB >> 4: Sub, isa.AluMUL >> 4: Mul, isa.AluDIV >> 4: Div, isa.AluMOD >> 4: Mod,
	isa.AluOR >> 4: Or, isa.AluAND >> 4: And, isa.AluXOR >> 4: Xor, isa.AluLSH >> 4: Shl, isa.AluRSH >> 4: Shr,
	isa.AluARSH >> 4: Sar,
}

func loweringTable() (t [256]lowering) {
	for n := range t {
		op, l := uint8(n), &t[n]
		l.ins, l.shape = blank, shapeCall
		switch class := op & 7; class {
		case isa.ClassALU, isa.ClassALU64:
			if class == isa.ClassALU {
				l.ins.Size = 4
			}
			l.ins.Op, l.shape = operations[op>>4], shapeImm
			if op&isa.SrcX != 0 {
				l.shape = shapeReg
			}
			switch op & 0xf0 {
			case isa.AluNEG:
				l.ins.Op, l.shape = Neg, shapeNeg
			case isa.AluEND:
				l.ins.Size, l.shape = 8, shapeEndian
			case isa.AluMOV:
				l.ins.Op, l.shape = Const, shapeMoveImm
				if op&isa.SrcX != 0 {
					l.ins.Op, l.shape = Mov, shapeMove
				}
			}
		case isa.ClassLD:
			l.ins.Op, l.shape = Const, shapeWide
		case isa.ClassLDX, isa.ClassST, isa.ClassSTX:
			l.ins.Width = uint8(isa.SizeOf(op))
			switch {
			case op&0xe7 == isa.ClassSTX|isa.ModeATOMIC:
				l.shape = shapeAtomic
			case class == isa.ClassST:
				l.ins.Op, l.shape = Store, shapeStoreImm
			case class == isa.ClassSTX:
				l.ins.Op, l.shape = Store, shapeStore
			case op&0xe0 == isa.ModeMEMSX:
				l.ins.Op, l.shape = LoadSext, shapeLoad
			default:
				l.ins.Op, l.shape = Load, shapeLoad
			}
		}
	}
	return t
}

// instruction lifts one of some kind that does not end its block.
func (l *lifter) instruction(at int, ins *isa.Instruction, k kind) {
	how := &lowerings[ins.Op]
	i := l.next(&how.ins)
	i.At = int32(at)
	if k&sure != 0 && how.shape <= shapeLoad {
		i.Op, i.Size, i.Width, i.Dst, i.Imm = Const, 8, 0, Var(ins.Dst), int64(l.src.Facts[at].Number.Bits.Value)
		return
	}
	switch how.shape {
	case shapeImm:
		i.Dst, i.A, i.Imm = Var(ins.Dst), l.operand(ins.Dst), int64(ins.Imm)
		i.signed(ins)
	case shapeReg:
		i.Dst, i.A, i.B = Var(ins.Dst), l.operand(ins.Dst), l.operand(ins.Src)
		i.signed(ins)
	case shapeMoveImm:
		i.Dst, i.Imm = Var(ins.Dst), int64(ins.Imm)
		if i.Size == 4 {
			i.Size, i.Imm = 8, int64(uint32(ins.Imm))
		}
	case shapeMove:
		i.Dst = Var(ins.Dst)
		l.move(ins, i)
	case shapeNeg:
		i.Dst, i.A = Var(ins.Dst), Var(ins.Dst)
	case shapeEndian:
		i.endian(ins)
	case shapeWide:
		i.Dst, i.Imm = Var(ins.Dst), int64(l.src.Constant(at))
		return
	case shapeLoad:
		i.Dst, i.A, i.Off = Var(ins.Dst), Var(ins.Src), int32(ins.Off)
	case shapeStoreImm:
		i.A, i.Off, i.Imm = Var(ins.Dst), int32(ins.Off), int64(ins.Imm)
	case shapeStore:
		i.A, i.Off, i.C = Var(ins.Dst), int32(ins.Off), l.operand(ins.Src)
	case shapeAtomic:
		i.Off = int32(ins.Off)
		l.atomic(ins, i)
	default:
		l.call(at, *ins, i)
		return
	}
	if k&unusual != 0 {
		l.access(at, i)
	}
}

// operand is the variable of a register, for an instruction that takes no Frame.
func (l *lifter) operand(r uint8) Var {
	if r != isa.R10 {
		return Var(r)
	}
	if l.frame == None {
		l.frame = l.fn.NewVar()
	}
	return l.frame
}

// signed makes a division a signed one, if it is.
func (i *Ins) signed(ins *isa.Instruction) {
	if ins.Off != 0 && (i.Op == Div || i.Op == Mod) {
		i.Op += Sdiv - Div
	}
}

// endian reverses bytes, or clears those that are not asked for.
func (i *Ins) endian(ins *isa.Instruction) {
	i.Dst, i.A, i.Width, i.Op = Var(ins.Dst), Var(ins.Dst), uint8(ins.Imm/8), Bswap
	if ins.Class() == isa.ClassALU && ins.Op&isa.SrcX == 0 { // to little endian
		if i.Op = Zext; i.Width == 8 {
			*i = nothing(i.At)
		}
	}
}

// move lifts moves of all kinds.
func (l *lifter) move(ins *isa.Instruction, i *Ins) {
	switch {
	case ins.Off == 0 && i.Size == 8:
		i.A = Var(ins.Src)
		return
	case ins.Off == 1: // an arena's address from one space to the other
		i.Op = Slow
	case ins.Off != 0:
		i.Op, i.Width = Sext, uint8(ins.Off/8)
	}
	i.A = l.operand(ins.Src)
}

// access makes a load, store or atomic one of memory that is not plain.
func (l *lifter) access(at int, i *Ins) {
	switch how := l.src.Access(at); {
	case how.Slow:
		i.Op, i.A = Slow, l.operand(uint8(i.A))
	case how.Width != 0 && i.Op == Store:
		i.Off, i.Width = how.Off, how.Width
	case how.Width != 0:
		l.field(i, how)
	}
}

// atomic lifts atomic operations.
func (l *lifter) atomic(ins *isa.Instruction, i *Ins) {
	if ins.Imm == isa.AtomicLoadAcq {
		i.Op, i.Dst, i.A = LoadAcquire, Var(ins.Dst), Var(ins.Src)
		return
	}
	i.A, i.C = Var(ins.Dst), l.operand(ins.Src)
	switch ins.Imm {
	case isa.AtomicStoreRl:
		i.Op = StoreRelease
		return
	case isa.AtomicCMPXCHG:
		i.Op, i.B, i.Dst = Cmpxchg, isa.R0, isa.R0
		return
	case isa.AtomicXCHG:
		i.Op = Xchg
	case isa.AtomicADD, isa.AtomicADD | isa.AtomicFetch:
		i.Op = AtomicAdd
	case isa.AtomicAND, isa.AtomicAND | isa.AtomicFetch:
		i.Op = AtomicAnd
	case isa.AtomicOR, isa.AtomicOR | isa.AtomicFetch:
		i.Op = AtomicOr
	default:
		i.Op = AtomicXor
	}
	if ins.Imm&isa.AtomicFetch != 0 {
		i.Dst = Var(ins.Src)
	}
}

// field loads a field of the context, which lies elsewhere than programs see it.
func (l *lifter) field(load *Ins, how Access) {
	load.Op, load.Width, load.Off = Load, how.Width, how.Off
	i := *load
	i.A, i.Off, i.Width = i.Dst, 0, 0
	if how.Shift != 0 {
		i.Op, i.Imm = Shr, int64(how.Shift)
		l.emit(i)
	}
	if held := ^uint64(0) >> (64 - 8*how.Width) >> how.Shift; held&^how.Mask != 0 {
		i.Op, i.Imm = And, int64(how.Mask)
		l.emit(i)
	}
}

// call lifts calls of all kinds.
func (l *lifter) call(at int, ins isa.Instruction, i *Ins) {
	i.Dst = isa.R0
	switch {
	case ins.Op == isa.ClassJMP|isa.SrcX|isa.JmpCALL:
		i.Op, i.A, i.N = CallX, Var(ins.Dst), 5
	case ins.IsCall(isa.CallLocal):
		i.Op, i.Imm = Call, int64(l.callee(at, ins)-1)
		i.N = l.prog.Funcs[i.Imm].Params
	case ins.IsCall(isa.CallHelper) && ins.Imm == tailCall:
		i.Op, i.N, i.Dst = TailCall, 3, None
		if l.src.Facts != nil {
			i.Off = int32(l.src.Facts[at].Map) + 1
		}
	default:
		index, args := l.src.Call(at)
		i.Op, i.Imm, i.N = Helper, int64(index), args
		if l.src.Facts != nil {
			i.Off = int32(l.src.Facts[at].Map) + 1
		}
	}
}

// tailCall is the number of bpf_tail_call.
const tailCall = 12

// conditions are those of jumps, by the upper four bits of the opcode.
var conditions = [16]Cond{
	isa.JmpJEQ >> 4: Eq, isa.JmpJNE >> 4: Ne, isa.JmpJGT >> 4: Ugt, isa.JmpJGE >> 4: Uge, isa.JmpJLT >> 4: Ult,
	isa.JmpJLE >> 4: Ule, isa.JmpJSET >> 4: TestSet, isa.JmpJSGT >> 4: Sgt, isa.JmpJSGE >> 4: Sge,
	isa.JmpJSLT >> 4: Slt, isa.JmpJSLE >> 4: Sle,
}

// condition gives a branch the condition of a conditional jump.
func (l *lifter) condition(ins *isa.Instruction, i *Ins) {
	i.Cond = conditions[ins.Op>>4]
	if ins.Class() == isa.ClassJMP32 {
		i.Size = 4
	}
	i.A = l.operand(ins.Dst)
	if ins.Op&isa.SrcX != 0 {
		i.B = l.operand(ins.Src)
	} else {
		i.Imm = int64(ins.Imm)
	}
}
