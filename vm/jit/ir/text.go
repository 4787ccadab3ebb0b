package ir

import (
	"fmt"
	"strings"
)

// operators are those of two operands, and names those of other operations.
var operators = [...]string{
	Add: "+", Sub: "-", Mul: "*", And: "&", Or: "|", Xor: "^", Shl: "<<", Shr: ">>", Sar: "s>>", Rol: "rol",
	Div: "/", Mod: "%", Sdiv: "s/", Smod: "s%", MulHi: "mulhi",
}

var names = [...]string{
	Nop: "nop", Context: "context", Zext: "zext", Sext: "sext", Bswap: "bswap", Load: "load", LoadSext: "loadsext", Store: "store",
	AtomicAdd: "add", AtomicAnd: "and", AtomicOr: "or", AtomicXor: "xor", Xchg: "xchg", Cmpxchg: "cmpxchg",
	LoadAcquire: "acquire", StoreRelease: "release", Call: "call", Helper: "helper", CallX: "callx",
	TailCall: "tailcall", Slow: "slow", Packet: "packet", Fuel: "fuel", Jump: "goto", Return: "return", Become: "become",
	Trap: "trap",
}

var comparisons = [...]string{
	Eq: "==", Ne: "!=", Ult: "<", Uge: ">=", Ule: "<=", Ugt: ">", Slt: "s<", Sge: "s>=", Sle: "s<=", Sgt: "s>",
	TestSet: "&", TestClear: "!&",
}

// String is the function in text, a line for each instruction:
//
//	b1:
//		r1 = load4 [frame-8]
//		w1 = w1 + 1
//		if r1 < r2 goto b1 else b2
//
// A variable is r and its number, or w where only its lower half counts.
func (f *Func) String() string {
	var s strings.Builder
	for n := range f.Blocks {
		b := &f.Blocks[n]
		fmt.Fprintf(&s, "b%d:\n", n)
		for k := range b.Ins {
			i := &b.Ins[k]
			fmt.Fprintf(&s, "\t%s", i)
			switch {
			case i.Op == Jump:
				fmt.Fprintf(&s, " b%d", b.Succ[0])
			case i.Op == Branch:
				fmt.Fprintf(&s, " goto b%d else b%d", b.Succ[0], b.Succ[1])
			}
			if i.Flag&Cold != 0 {
				s.WriteString(" cold")
			}
			s.WriteByte('\n')
		}
	}
	return s.String()
}

// String is the instruction in text, without where it jumps to.
func (i *Ins) String() string {
	text := i.action()
	if i.Dst != None {
		text = i.name(i.Dst) + " = " + text
	}
	if i.Flag&NonZero != 0 {
		text += " nonzero"
	}
	return text
}

// action is what the instruction does before it writes Dst.
func (i *Ins) action() string {
	switch i.Op {
	case Add, Sub, Mul, And, Or, Xor, Shl, Shr, Sar, Rol, Div, Mod, Sdiv, Smod, MulHi:
		return i.name(i.A) + " " + operators[i.Op] + " " + i.second()
	case Neg:
		return "-" + i.name(i.A)
	case Mov:
		return i.name(i.A)
	case Const:
		return fmt.Sprint(i.Imm)
	case Lea:
		return "&" + i.address()
	case Branch:
		return "if " + i.name(i.A) + " " + comparisons[i.Cond] + " " + i.second()
	case Zext, Sext, Bswap:
		return fmt.Sprintf("%s%d %s", names[i.Op], i.Width, i.name(i.A))
	case Load, LoadSext, LoadAcquire:
		return fmt.Sprintf("%s%d %s", names[i.Op], i.Width, i.address())
	case Store, StoreRelease:
		return fmt.Sprintf("%s%d %s = %s", names[i.Op], i.Width, i.address(), i.third())
	case AtomicAdd, AtomicAnd, AtomicOr, AtomicXor, Xchg:
		return fmt.Sprintf("%s%d %s %s", names[i.Op], i.Width, i.address(), i.name(i.C))
	case Cmpxchg:
		return fmt.Sprintf("cmpxchg%d [%s%+d] %s %s", i.Width, i.name(i.A), i.Off, i.name(i.B), i.name(i.C))
	case Call:
		return fmt.Sprintf("call %d %d", i.Imm, i.N)
	case Helper:
		return fmt.Sprintf("helper %d %d %d", i.Imm, i.N, i.Off)
	case CallX:
		return "callx " + i.name(i.A)
	case Slow, Packet:
		return fmt.Sprintf("%s %s %s %s", names[i.Op], i.name(i.A), i.name(i.B), i.name(i.C))
	case Fuel:
		return fmt.Sprintf("fuel %d", i.Imm)
	}
	return names[i.Op]
}

// name is a variable as the instruction uses it.
func (i *Ins) name(v Var) string {
	switch {
	case v == None:
		return "-"
	case v == Frame:
		return "frame"
	case i.Size == 4:
		return fmt.Sprintf("w%d", v)
	}
	return fmt.Sprintf("r%d", v)
}

// second and third are the operands B and C, or the immediate instead.
func (i *Ins) second() string { return i.operand(i.B) }
func (i *Ins) third() string  { return i.operand(i.C) }

func (i *Ins) operand(v Var) string {
	if v == None {
		return fmt.Sprint(i.Imm)
	}
	return i.name(v)
}

// address is where the instruction accesses memory, or what Lea gives.
func (i *Ins) address() string {
	text := "[" + i.name(i.A)
	if i.B != None {
		text += "+" + i.name(i.B)
		if i.N != 0 {
			text += fmt.Sprintf("<<%d", i.N)
		}
	}
	if i.Off != 0 || i.B == None {
		text += fmt.Sprintf("%+d", i.Off)
	}
	return text + "]"
}
