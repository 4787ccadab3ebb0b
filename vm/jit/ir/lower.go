package ir

import "github.com/skep-ebpf/skep/isa"

// instruction lifts one that does not end its block.
func (l *lifter) instruction(at int, ins isa.Instruction) {
	l.emit(l.new(Nop, at))
	i := &l.room[len(l.room)-1] // becomes it where it stands
	switch ins.Class() {
	case isa.ClassALU, isa.ClassALU64:
		l.arithmetic(at, ins, i)
	case isa.ClassLD:
		i.Op, i.Dst, i.Imm = Const, Var(ins.Dst), int64(l.src.Constant(at))
	case isa.ClassLDX, isa.ClassST, isa.ClassSTX:
		l.access(at, ins, i)
	default:
		l.call(at, ins, i)
	}
}

// known makes i the number that an instruction always gives, if the verifier proved
// that there is one.
func (l *lifter) known(at int, i *Ins) bool {
	if l.src.Facts == nil {
		return false
	}
	n := l.src.Facts[at].Number
	if n == nil || !n.IsConst() {
		return false
	}
	i.Op, i.Size, i.Imm = Const, 8, int64(n.Bits.Value)
	i.A, i.B, i.Off, i.Width = None, None, 0, 0
	return true
}

// operations are those of two operands, by the upper four bits of the opcode.
var operations = [16]Op{
	isa.AluADD >> 4: Add, isa.AluSUB >> 4: Sub, isa.AluMUL >> 4: Mul, isa.AluDIV >> 4: Div, isa.AluMOD >> 4: Mod,
	isa.AluOR >> 4: Or, isa.AluAND >> 4: And, isa.AluXOR >> 4: Xor, isa.AluLSH >> 4: Shl, isa.AluRSH >> 4: Shr,
	isa.AluARSH >> 4: Sar,
}

func (l *lifter) arithmetic(at int, ins isa.Instruction, i *Ins) {
	i.Dst, i.A = Var(ins.Dst), Var(ins.Dst)
	if ins.Class() == isa.ClassALU {
		i.Size = 4
	}
	if l.known(at, i) {
		return
	}
	switch op := ins.Op & 0xf0; op {
	case isa.AluMOV:
		l.move(ins, i)
		return
	case isa.AluNEG:
		i.Op = Neg
	case isa.AluEND:
		i.Width = uint8(ins.Imm / 8)
		i.Op = Bswap
		if ins.Class() == isa.ClassALU && ins.Op&isa.SrcX == 0 { // to little endian
			if i.Op = Zext; i.Width == 8 {
				*i = nothing(i.At)
				return
			}
		}
		i.Size = 8
	default:
		i.Op = operations[op>>4]
		if (op == isa.AluDIV || op == isa.AluMOD) && ins.Off != 0 {
			i.Op += Sdiv - Div
		}
		if ins.Op&isa.SrcX != 0 {
			i.B = l.operand(ins.Src)
		} else {
			i.Imm = int64(ins.Imm)
		}
		i.A = l.operand(ins.Dst)
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

// move lifts moves of all kinds.
func (l *lifter) move(ins isa.Instruction, i *Ins) {
	i.A = None
	switch {
	case ins.Op&isa.SrcX == 0:
		i.Op, i.Imm = Const, int64(ins.Imm)
		if i.Size == 4 {
			i.Imm = int64(uint32(ins.Imm))
		}
		i.Size = 8
	case ins.Off == 1: // an arena's address from one space to the other
		i.Op, i.A = Slow, l.operand(ins.Src)
	case ins.Off != 0:
		i.Op, i.A, i.Width = Sext, l.operand(ins.Src), uint8(ins.Off/8)
	case i.Size == 4:
		i.Op, i.A = Mov, l.operand(ins.Src)
	default:
		i.Op, i.A = Mov, Var(ins.Src)
	}
}

// access lifts loads, stores and atomics.
func (l *lifter) access(at int, ins isa.Instruction, i *Ins) {
	i.Off, i.Width = int32(ins.Off), uint8(isa.SizeOf(ins.Op))
	atomic := ins.Op&0xe7 == isa.ClassSTX|isa.ModeATOMIC
	switch {
	case atomic && ins.Imm == isa.AtomicLoadAcq:
		i.Op, i.Dst, i.A = LoadAcquire, Var(ins.Dst), Var(ins.Src)
	case atomic:
		l.atomic(ins, i)
	case ins.Class() == isa.ClassLDX:
		i.Op, i.Dst, i.A = Load, Var(ins.Dst), Var(ins.Src)
		if l.known(at, i) {
			return
		}
		if ins.Op&0xe0 == isa.ModeMEMSX {
			i.Op = LoadSext
		}
	case ins.Class() == isa.ClassST:
		i.Op, i.A, i.Imm = Store, Var(ins.Dst), int64(ins.Imm)
	default:
		i.Op, i.A, i.C = Store, Var(ins.Dst), l.operand(ins.Src)
	}
	switch how := l.src.Access(at); {
	case how.Slow:
		i.Op, i.A = Slow, l.operand(uint8(i.A))
	case how.Width != 0 && i.Op == Store:
		i.Off, i.Width = how.Off, how.Width
	case how.Width != 0:
		l.field(i, how)
	}
}

func (l *lifter) atomic(ins isa.Instruction, i *Ins) {
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

// condition makes i the branch of a conditional jump.
func (l *lifter) condition(ins isa.Instruction, i *Ins) {
	i.Op, i.Cond = Branch, conditions[ins.Op>>4]
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
