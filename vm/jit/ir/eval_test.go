package ir

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"testing"

	"github.com/skep-ebpf/skep/internal/mem"
)

// evaluator runs a program as it is defined, on variables or, once they are coloured,
// on registers. What is changed without a result is filled with junk.
type evaluator struct {
	t        testing.TB
	prog     *Program
	coloured bool
	target   *Target
	regs     [64]uint64 // of machine, if coloured
	memory   []byte     // at address memoryBase; the stack is at its end
	trace    []string   // what could be seen outside
	steps    int

	// outside, if not nil, is what helpers do. Functions then work on the machine's
	// own memory, too.
	outside func(i *Ins, args [5]uint64) uint64
	context uint64 // its address
}

const (
	memoryBase = 1 << 20
	stackBytes = 1 << 14
)

// run gives R0 and what could be seen outside.
func (e *evaluator) run(args ...uint64) (uint64, []string) {
	e.t.Helper()
	e.memory = make([]byte, 256+stackBytes)
	var vars [64]uint64
	for i := range vars {
		vars[i] = junk(uint64(i))
		e.regs[i] = vars[i]
	}
	main := len(e.prog.Funcs) - 1
	for i, a := range args {
		vars[i+1] = a
		if e.coloured {
			e.regs[e.target.Fixed[i+1]] = a
		}
	}
	r0 := e.call(main, vars, memoryBase+uint64(len(e.memory)))
	return r0, e.trace
}

func junk(n uint64) uint64 { return n*0x9e3779b97f4a7c15 ^ 0xdeadbeefdeadbeef }

// activation is a function that runs.
type activation struct {
	*evaluator
	f     *Func
	vars  [64]uint64
	frame uint64
}

func (e *evaluator) call(n int, vars [64]uint64, frame uint64) uint64 {
	a := activation{evaluator: e, f: e.prog.Funcs[n], vars: vars, frame: frame}
	low := int(frame-memoryBase) - a.f.Frame
	for i := low; i < low+a.f.Frame; i++ {
		e.memory[i] = 0xa5
	}
	at := int32(0)
	for {
		b := &a.f.Blocks[at]
		for k := range b.Ins[:len(b.Ins)-1] {
			a.step(&b.Ins[k])
		}
		e.steps++
		if e.steps > 100_000 {
			e.t.Fatal("runs too long")
		}
		switch i := b.End(); i.Op {
		case Jump:
			at = b.Succ[0]
		case Branch:
			at = b.Succ[1]
			if holds(i.Cond, i.Size, a.get(i.A), a.second(i)) {
				at = b.Succ[0]
			}
		case Return:
			return a.get(0)
		default:
			e.t.Fatalf("block %d of %s ends with operation %d", at, a.f.Name, i.Op)
		}
	}
}

// place is where a variable is.
func (a *activation) place(v Var) *uint64 {
	if !a.coloured {
		return &a.vars[v]
	}
	r := a.f.Regs[v]
	if r == NoReg {
		a.t.Fatalf("variable %d has no register", v)
	}
	return &a.regs[r]
}

func (a *activation) get(v Var) uint64 {
	switch v {
	case None:
		return 0
	case Frame:
		return a.frame
	}
	return *a.place(v)
}

func (a *activation) second(i *Ins) uint64 {
	if i.B == None {
		return uint64(i.Imm)
	}
	return a.get(i.B)
}

func (a *activation) step(i *Ins) {
	switch {
	case i.Op == Nop, i.Op == Fuel:
		return
	case i.Op == Call, i.Op == Helper:
		a.leave(i)
		return
	}
	if i.A == Scratch1 && (i.Op < Lea && i.B == None && i.Op != Mov || i.Op == Store && i.C == None) || i.B == Scratch1 && i.Op == Store && i.C == None {
		a.t.Fatalf("operation %d has an immediate and uses Scratch1", i.Op)
	}
	x, y := a.get(i.A), a.second(i)
	addr := x + uint64(int64(i.Off))
	if i.B != None {
		addr += a.get(i.B) << i.N
	}
	var out uint64
	switch i.Op {
	case Mov:
		out = x
	case Const:
		out = uint64(i.Imm)
	case Context:
		out = a.context
	case Lea:
		out = addr
	case Zext:
		out = x & mask(i.Width)
	case Sext:
		out = extend(x, i.Width)
	case Bswap:
		out = bits.ReverseBytes64(x) >> (64 - 8*i.Width)
	case Load, LoadAcquire:
		out = a.load(addr, i.Width)
	case LoadSext:
		out = extend(a.load(addr, i.Width), i.Width)
	case Store, StoreRelease:
		v := uint64(i.Imm)
		if i.C != None {
			v = a.get(i.C)
		}
		a.store(addr, i.Width, v)
	case AtomicAdd, AtomicAnd, AtomicOr, AtomicXor:
		op := map[Op]Op{AtomicAdd: Add, AtomicAnd: And, AtomicOr: Or, AtomicXor: Xor}[i.Op]
		out = a.load(addr, i.Width)
		a.store(addr, i.Width, arithmetic(op, 8, out, a.get(i.C)))
	case Xchg:
		out = a.load(addr, i.Width)
		a.store(addr, i.Width, a.get(i.C))
	case Cmpxchg:
		addr = x + uint64(int64(i.Off))
		out = a.load(addr, i.Width)
		if out == a.get(i.B)&mask(i.Width) {
			a.store(addr, i.Width, a.get(i.C))
		}
	default:
		out = arithmetic(i.Op, i.Size, x, y)
	}
	if i.Dst == None {
		return
	}
	if i.Size == 4 {
		out &= mask(4)
	}
	*a.place(i.Dst) = out
}

// leave is a call of a function or a helper. Helper 0 gives a number that depends on
// its arguments; helper 1 is given the address of 8 bytes, which it also changes.
func (a *activation) leave(i *Ins) {
	vars, regs := a.vars, a.regs
	changed := RegSet(0)
	var r0 uint64
	if i.Op == Call {
		before := a.regs
		r0 = a.call(int(i.Imm), a.calleeVars(i.N), a.frame-uint64(a.f.Frame))
		if changed = a.prog.Funcs[i.Imm].Clobbers; a.coloured {
			for r := range before[:32] {
				if a.regs[r] != before[r] && !changed.Has(Reg(r)) {
					a.t.Fatalf("function %d changes register %d and does not say so", i.Imm, r)
				}
			}
		}
	} else {
		r0 = a.helper(i)
		if changed = ^RegSet(0); a.coloured {
			changed = a.target.All
		}
	}
	for r := range a.regs[:32] {
		if changed.Has(Reg(r)) {
			a.regs[r] = junk(uint64(r))
		}
	}
	for r := range a.regs[:32] {
		if (changed & i.Live).Has(Reg(r)) {
			a.regs[r] = regs[r]
		}
	}
	a.vars = vars
	for v := Var(1); v < 6 && !a.coloured; v++ {
		a.vars[v] = junk(uint64(v))
	}
	*a.place(0) = r0
}

// calleeVars are the variables at a function's beginning.
func (a *activation) calleeVars(args uint8) (vars [64]uint64) {
	for v := range vars {
		vars[v] = junk(uint64(v))
	}
	for v := Var(1); v <= Var(args); v++ {
		vars[v] = a.get(v)
	}
	return vars
}

func (a *activation) helper(i *Ins) uint64 {
	if a.outside != nil {
		return a.outside(i, [5]uint64{a.get(1), a.get(2), a.get(3), a.get(4), a.get(5)})
	}
	var b []byte
	if i.Imm == 1 {
		addr := a.get(1)
		old := a.load(addr, 8)
		a.store(addr, 8, old*3+1)
		b = binary.LittleEndian.AppendUint64(b, old)
	} else {
		for v := Var(1); v <= Var(i.N); v++ {
			b = binary.LittleEndian.AppendUint64(b, a.get(v))
		}
	}
	a.trace = append(a.trace, fmt.Sprintf("helper %d: %x", i.Imm, b))
	r0 := uint64(len(a.trace))
	for _, c := range b {
		r0 = (r0 ^ uint64(c)) * 0x100000001b3
	}
	return r0
}

func (a *activation) at(addr uint64, width uint8) []byte {
	at := addr - memoryBase
	if a.outside != nil && at >= uint64(len(a.memory)) {
		return mem.View(uintptr(addr), int(width))
	}
	if at > uint64(len(a.memory)) || at+uint64(width) > uint64(len(a.memory)) {
		a.t.Fatalf("access of %d bytes at %#x", width, addr)
	}
	return a.memory[at : at+uint64(width)]
}

func (a *activation) load(addr uint64, width uint8) uint64 {
	var b [8]byte
	copy(b[:], a.at(addr, width))
	return binary.LittleEndian.Uint64(b[:])
}

func (a *activation) store(addr uint64, width uint8, v uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	copy(a.at(addr, width), b[:])
}

func mask(width uint8) uint64 { return ^uint64(0) >> (64 - 8*width) }

func extend(v uint64, width uint8) uint64 {
	n := 64 - 8*width
	return uint64(int64(v<<n) >> n)
}

// arithmetic is what an operation of size bytes gives.
func arithmetic(op Op, size uint8, x, y uint64) uint64 {
	x, y = x&mask(size), y&mask(size)
	sx, sy := int64(extend(x, size)), int64(extend(y, size))
	n := y & uint64(8*size-1)
	switch op {
	case Add:
		return x + y
	case Sub:
		return x - y
	case Mul:
		return x * y
	case And:
		return x & y
	case Or:
		return x | y
	case Xor:
		return x ^ y
	case Shl:
		return x << n
	case Shr:
		return x >> n
	case Sar:
		return uint64(sx >> n)
	case Rol:
		return x<<n | x>>(uint64(8*size)-n)
	case Neg:
		return -x
	case MulHi:
		hi, _ := bits.Mul64(x, y)
		return hi
	case Div:
		if y == 0 {
			return 0
		}
		return x / y
	case Mod:
		if y == 0 {
			return x
		}
		return x % y
	case Sdiv:
		if sy == 0 {
			return 0
		}
		return uint64(sx / sy) // Go, too, gives the least number for it divided by -1
	case Smod:
		if sy == 0 {
			return x
		}
		return uint64(sx % sy)
	}
	panic(fmt.Sprintf("unreachable: operation %d", op))
}

// holds reports whether a condition does.
func holds(c Cond, size uint8, x, y uint64) bool {
	x, y = x&mask(size), y&mask(size)
	sx, sy := int64(extend(x, size)), int64(extend(y, size))
	is := [...]bool{x == y, x < y, x <= y, sx < sy, sx <= sy, x&y != 0}[c/2]
	return is == (c%2 == 0)
}
