package ir

import "math/bits"

// Var is a variable of a function. 0 to 9 are R0 to R9.
type Var uint8

// The variables with a meaning of their own.
const (
	// Frame is R10, the address behind the function's frame memory. It never
	// changes, lives in no register, and is an operand only as A of Mov, Lea, loads,
	// stores and atomics.
	Frame Var = 10
	// FirstFree is the first variable that bytecode has no name for.
	FirstFree Var = 11
	// Scratch0 and Scratch1 hold variables that have no register around an
	// instruction that uses them. Only colouring makes them. An instruction with an
	// immediate never uses Scratch1, so that a backend may put the immediate there. A
	// backend may change those that an instruction does not write, unless it is a Mov,
	// a load, or a store of a register: only these come between where a variable is
	// put there and where it is used.
	Scratch0 Var = 62
	Scratch1 Var = 63
	// MaxVars bounds the others.
	MaxVars = 62
	// None is no variable.
	None Var = 255
)

// Set is a set of variables.
type Set uint64

// Of is the set of one variable; of None and Frame the empty one.
func Of(v Var) Set { return sets[v] }

var sets = setTable()

func setTable() (t [256]Set) {
	for v := range Scratch1 + 1 {
		t[v] = 1 << v
	}
	t[Frame] = 0
	return t
}

// Has reports whether v is in the set.
func (s Set) Has(v Var) bool { return s>>v&1 != 0 }

// Next gives the set's least variable and the set without it.
func (s Set) Next() (Var, Set) { return Var(bits.TrailingZeros64(uint64(s))), s & (s - 1) }

// Arguments is the set of R1 to Rn.
func Arguments(n uint8) Set { return (1<<n - 1) << 1 }

// Clobbered is what bytecode must not expect to survive a call: R0 to R5.
const Clobbered Set = 0x3f

// Op is an operation.
type Op uint8

// The operations. Where B is None the second operand is Imm. Size is that of the
// operation, 4 or 8 bytes; one of 4 reads the lower halves and clears the upper half
// of Dst.
const (
	Nop Op = iota

	Add // Dst = A + B
	Sub
	Mul
	And
	Or
	Xor
	Shl // the count modulo 8*Size
	Shr
	Sar
	Rol
	Div // as eBPF has it: by 0 gives 0
	Mod // by 0 gives A
	Sdiv
	Smod
	MulHi // the upper half of the unsigned product of 8 bytes

	Neg   // Dst = -A
	Mov   // Dst = A; A may be Frame
	Const // Dst = Imm
	// Context is Dst = the address of the run's abi.Context: the stack pointer, rounded
	// down to a multiple of abi.StackBytes.
	Context
	Zext  // Dst = A's lower Width bytes, zero-extended
	Sext  // sign-extended to Size bytes
	Bswap // reversed and zero-extended
	Lea   // Dst = A + B<<N + Off, of 8 bytes; B may be None, A may be Frame, N is at most 3

	Load     // Dst = Width bytes at A + B<<N + Off, zero-extended; B may be None
	LoadSext // sign-extended to 8 bytes
	Store    // Width bytes at A + B<<N + Off = C, or Imm where C is None

	// Atomics work on Width bytes at A + Off with C, and leave what was there
	// before in Dst; Dst is None where nobody asks, but for Xchg and Cmpxchg.
	AtomicAdd
	AtomicAnd
	AtomicOr
	AtomicXor
	Xchg
	Cmpxchg      // B is what to expect, and C is stored if that is there
	LoadAcquire  // Dst = Width bytes at A + Off
	StoreRelease // Width bytes at A + Off = C

	// Call calls native function Imm with R1 to RN. Dst is R0.
	Call
	// Helper leaves native code for helper Imm with R1 to RN. Dst is R0. Off is 1
	// more than the index of the one map that it is called with, or 0.
	Helper
	// CallX leaves native code for the helper whose number A has, with R1 to R5.
	CallX
	// TailCall leaves native code for another program, with R1 to R3, and comes back
	// only where there is none. Off is as for Helper.
	TailCall
	// Packet leaves native code for a packet load (LD_ABS, LD_IND) with R6 in A and
	// the index register in B. Dst is R0. A load outside the packet ends the function.
	Packet
	// Slow leaves native code for what instruction At does, with the registers A
	// (an address), C (what is stored) and B (what Cmpxchg expects), as far as they are
	// not None. Dst, if not None, is what it gives. It keeps R1 to R5.
	Slow
	// Fuel takes Imm from the budget and leaves native code where nothing is left.
	Fuel

	// The last instruction of a block is one of these.
	Jump   // to Succ[0]
	Branch // to Succ[0] if A Cond B, else to Succ[1]
	Return // R0 is the result
	Become // gives the frame back and goes on at A, where another program begins, with R1
	Trap   // must not be reached: leaves native code for good
)

// Cond is the condition of a Branch.
type Cond uint8

// The conditions. Set is A & B != 0. Each even one is followed by its opposite.
const (
	Eq Cond = iota
	Ne
	Ult
	Uge
	Ule
	Ugt
	Slt
	Sge
	Sle
	Sgt
	TestSet
	TestClear
)

// Not is the opposite condition.
func (c Cond) Not() Cond { return c ^ 1 }

// Ins is one instruction.
type Ins struct {
	Op    Op
	Cond  Cond
	Size  uint8 // of an operation: 4 or 8 bytes
	Width uint8 // of an access or conversion: 1, 2, 4 or 8 bytes

	Dst, A, B, C Var

	// N is by how many bits B is shifted, how many arguments a call takes, or how many
	// bits A has at most in a Div or Mod by a number (0: any).
	N    uint8
	Flag Flag
	Off  int32
	At   int32 // the instruction of the bytecode that it comes from
	// Live are the machine registers that hold something behind a call or an exit that was
	// there before it; [Program.Colour] fills it in.
	Live RegSet
	Imm  int64
}

// Flag says what is known of an instruction.
type Flag uint8

// The flags.
const (
	// NonZero says of a division that the divisor is not 0, and of a signed one
	// that it is not -1 either.
	NonZero Flag = 1 << iota
	// Cold says of a Branch that it is hardly ever taken.
	Cold
)

// Ends reports whether the instruction is the last of a block.
func (i *Ins) Ends() bool { return i.Op >= Jump }

// Leaves reports whether the instruction may leave native code and come back, or
// runs another function.
func (i *Ins) Leaves() bool { return i.Op >= Call && i.Op <= Fuel }

// Uses are the variables that the instruction reads.
func (i *Ins) Uses() Set {
	if i.Op < Call {
		return sets[i.A] | sets[i.B] | sets[i.C]
	}
	return i.usesOfCall()
}

// usesOfCall are those of an instruction that calls, or that ends a block.
func (i *Ins) usesOfCall() Set {
	switch i.Op {
	case Call, Helper, TailCall:
		return Arguments(i.N)
	case CallX:
		return Arguments(5) | Of(i.A)
	case Return:
		return 1
	case Become:
		return Of(i.A) | 1<<1
	}
	return Of(i.A) | Of(i.B) | Of(i.C)
}

// Kills are the variables that it writes, or that hold nothing behind it.
func (i *Ins) Kills() Set {
	if i.Op >= Call && i.Op <= Packet {
		return Clobbered
	}
	return Of(i.Dst)
}

// Pure reports whether it does nothing but write Dst.
func (i *Ins) Pure() bool { return i.Op <= LoadSext }

// Block is a run of instructions of which only the last one jumps.
type Block struct {
	Ins  []Ins
	Succ [2]int32 // blocks that it leads to: -1 where there is none
	// Depth is how many loops it is in.
	Depth uint8
	// Cold says that it hardly ever runs.
	Cold bool
	// In and Out are the variables that live before and behind it.
	In, Out Set
}

// End is the block's last instruction.
func (b *Block) End() *Ins { return &b.Ins[len(b.Ins)-1] }

// Func is a function. Its blocks are in the order in which they are laid out; the
// first is where it begins. R1 to R5 hold its arguments then.
type Func struct {
	Name   string
	Entry  int // the first instruction of the bytecode; -1: a routine of our own
	Len    int // how many instructions of the bytecode it has
	Blocks []Block
	// Vars is how many variables there are.
	Vars Var
	// Frame is how many bytes below Frame are the function's memory, a multiple of 8.
	Frame int
	// Params is how many arguments it takes.
	Params uint8
	// Entered says that Go may enter it.
	Entered bool
	// Touches are what a routine of our own touches of its caller's frame.
	Touches []Touch
	work    *Workspace

	// Regs are the variables' machine registers, from colouring.
	Regs [64]Reg
	// Clobbers are the machine registers that a call of the function changes.
	Clobbers RegSet
	// Leaves says that native code may be left within in a way that changes all
	// registers.
	Leaves bool
}

// Registers are the machine registers that variables have, as far as they have any.
func (f *Func) Registers(vars Set) (regs RegSet) {
	for v, rest := vars.Next(); v < 64; v, rest = rest.Next() {
		regs |= 1 << f.Regs[v] // none where the variable has no register
	}
	return regs
}

// NewVar gives a variable that is not in use, or None where there are no more.
func (f *Func) NewVar() Var {
	if f.Vars >= MaxVars {
		return None
	}
	f.Vars++
	return f.Vars - 1
}

// Reg is a machine register, by the number that its architecture gives it.
type Reg uint8

// NoReg is none.
const NoReg Reg = 255

// RegSet is a set of machine registers.
type RegSet uint32

// Has reports whether r is in the set.
func (s RegSet) Has(r Reg) bool { return s>>r&1 != 0 }

// Count is how many registers are in the set.
func (s RegSet) Count() int { return bits.OnesCount32(uint32(s)) }

// Next gives the set's least register and the set without it.
func (s RegSet) Next() (Reg, RegSet) { return Reg(bits.TrailingZeros32(uint32(s))), s & (s - 1) }

// Target is what passes know of an architecture.
type Target struct {
	// Fixed are the registers of variables 0 to 5, always.
	Fixed [6]Reg
	// Free are the other registers that variables may have, the best first.
	Free []Reg
	// Scratch are those of Scratch0 and Scratch1.
	Scratch [2]Reg
	// All are all registers that generated code may change.
	All RegSet
	// FullAddress says that an access has an index with any shift and an offset at
	// once.
	FullAddress bool
	// FuelKeeps says that Fuel keeps all registers but the scratches.
	FuelKeeps bool
}

// Program is all functions of a program. A function calls only those before it, and
// the last one is where the program begins.
type Program struct {
	Funcs []*Func
	// Calls are what its calls lead to; nil: unknown.
	Calls *Calls
	work  *Workspace
}
