package amd64

import (
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// Target is what the passes know of amd64. R0 to R5 are where Linux's JIT has them.
var Target = ir.Target{
	Fixed:   [6]ir.Reg{rax, rdi, rsi, rdx, rcx, r8},
	Free:    []ir.Reg{rbx, r13, r14, r12, rbp, r9},
	Scratch: [2]ir.Reg{r10, r11},
	All:     allRegs,

	FullAddress: true,
	FuelKeeps:   true,
}

const (
	// budget is the register that has what is left of the budget.
	budget = r15

	allRegs ir.RegSet = (1<<16 - 1) &^ (1<<rsp | 1<<budget)
)

// Options say for what processor and how code is made.
type Options struct {
	// BMI2 says that the processor has this set of instructions.
	BMI2 bool
	// Seed is where random padding between instructions begins; 0: none.
	Seed uint64
}

// Emitter makes programs' code, one after another, and keeps the memory that this
// takes. The zero value is ready.
type Emitter struct {
	asm
	opts Options
	prog *ir.Program
	pad  padding
	err  error // the first one

	ir.Code         // what is finished
	outOfFuel int32 // offset of the stub for that
	funcs     []ir.Survey

	// The function in the making.
	fn    int
	f     *ir.Func
	regs  [256]ir.Reg // by variable
	deep  uint32      // bytes of stack that the deepest function takes that it calls
	frame int32       // bytes from SP to Frame
	slots [16]int32   // where a register is saved, above SP

	points  []point
	off     int32 // how many bytes points put in so far
	labels  []int32
	starts  []start
	colds   []cold
	aligned []bool // by block

	// The instruction in the making.
	next int32     // the block behind its one, or -1
	lent ir.RegSet // what temp took

	lacks  *ir.Ins // one with a variable that has no register
	lacked ir.Var
	flags  flags
}

// maxKept is how many bytes of code an emitter keeps memory for.
const maxKept = 128 << 10

// Emit makes a program's code, which is the emitter's until it makes the next one. The
// functions have to be coloured. The same program and options give the same code.
func (e *Emitter) Emit(p *ir.Program, opts Options) (*ir.Code, error) {
	defer e.forget()
	funcs, total, err := p.Survey()
	if err != nil {
		return nil, err
	}
	e.opts, e.prog, e.funcs, e.pad = opts, p, funcs, padding{opts.Seed}
	front := stubs()
	e.outOfFuel = front.outOfFuel
	e.Code = ir.Code{
		Bytes: append(slices.Grow(e.Bytes[:0], 8*total+512), front.Bytes...),
		Enter: front.Enter, Resume: front.Resume, Return: front.Return,
		Entries: e.Entries[:0], Stacks: e.Stacks[:0], Lines: slices.Grow(e.Lines[:0], total),
	}
	for i := range p.Funcs {
		if err := e.function(i); err != nil {
			return nil, err
		}
		if len(e.Bytes) > math.MaxInt32/2 {
			return nil, fmt.Errorf("compile function %s: the program has more than 1 GiB of code", p.Funcs[i].Name)
		}
	}
	code := e.Code
	return &code, nil
}

// forget forgets the program, and keeps the memory unless that is much.
func (e *Emitter) forget() {
	if cap(e.Bytes) > maxKept {
		*e = Emitter{}
		return
	}
	clear(e.colds[:cap(e.colds)])
	e.prog, e.funcs, e.f, e.lacks, e.err = nil, nil, nil, nil, nil
}

// fail notes the first mistake in what is to be compiled.
func (e *Emitter) fail(i *ir.Ins, format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf("instruction %d: "+format, append([]any{i.At}, args...)...)
	}
}

// ins makes the code of one instruction.
func (e *Emitter) ins(b *ir.Block, i *ir.Ins) {
	switch i.Op {
	case ir.Nop:
	case ir.Add, ir.Sub, ir.Mul, ir.And, ir.Or, ir.Xor:
		e.binary(i)
	case ir.Shl, ir.Shr, ir.Sar, ir.Rol:
		e.shift(i)
	case ir.Div, ir.Mod, ir.Sdiv, ir.Smod:
		e.divide(i)
	case ir.MulHi:
		e.mulHi(i)
	case ir.Neg:
		e.mov(i.Size, e.reg(i, i.Dst), e.reg(i, i.A))
		e.rr(opGroup3, i.Size, dNeg, e.reg(i, i.Dst))
	case ir.Mov:
		if i.A == ir.Frame {
			e.lea(8, e.reg(i, i.Dst), at(rsp, e.frame))
			return
		}
		e.mov(i.Size, e.reg(i, i.Dst), e.reg(i, i.A))
	case ir.Const:
		imm := i.Imm
		if i.Size == 4 {
			imm = int64(uint32(imm))
		}
		e.constant(e.reg(i, i.Dst), imm)
	case ir.Context:
		e.findContext(e.reg(i, i.Dst))
	case ir.Zext:
		e.zext(i.Width, e.reg(i, i.Dst), e.reg(i, i.A))
	case ir.Sext:
		e.sext(i)
	case ir.Bswap:
		e.bswap(i)
	case ir.Lea:
		e.lea(8, e.reg(i, i.Dst), e.address(i))
	case ir.Load, ir.LoadAcquire:
		e.load(i)
	case ir.LoadSext:
		e.loadSext(i)
	case ir.Store, ir.StoreRelease:
		e.store(i)
	case ir.AtomicAdd, ir.AtomicAnd, ir.AtomicOr, ir.AtomicXor:
		e.atomic(i)
	case ir.Xchg:
		e.exchange(i, opXchg)
	case ir.Cmpxchg:
		e.cmpxchg(i)
	case ir.Call:
		e.call(i)
	case ir.Helper, ir.CallX, ir.TailCall, ir.Slow, ir.Packet:
		e.exit(i)
	case ir.Fuel:
		e.fuel(i)
	case ir.Jump:
		if to := &e.f.Blocks[b.Succ[0]]; b.Succ[0] != e.next && to.Ins[0].Op == ir.Return {
			e.ret()
			return
		}
		e.jump(b.Succ[0])
	case ir.Branch:
		e.branch(b, i)
	case ir.Become:
		e.freeFrame()
		e.rr(opGroup5, 4, dJmp, e.reg(i, i.A))
	case ir.Return:
		e.ret()
	case ir.Trap:
		e.trap(i)
	default:
		e.fail(i, "operation %d is not known", i.Op)
	}
}

// reg is a variable's register.
func (e *Emitter) reg(i *ir.Ins, v ir.Var) ir.Reg {
	r := e.regs[v]
	if r > r15 {
		e.lacks, e.lacked, r = i, v, rax
	}
	return r
}

// temp gives a register that is not in use. If no scratch register is left, it is
// another one, whose value waits below the stack pointer.
func (e *Emitter) temp(used *ir.RegSet) ir.Reg {
	for _, r := range [...]ir.Reg{r10, r11, r9, r8, rbp, rbx, r12} {
		if used.Has(r) {
			continue
		}
		*used |= 1 << r
		if r != r10 && r != r11 {
			e.lent |= 1 << r
			e.rm(opStore, 8, r, belowSP(r))
		}
		return r
	}
	panic("unreachable: an instruction has fewer operands")
}

// giveBack gives registers that temp took their values back.
func (e *Emitter) giveBack() {
	for ; e.lent != 0; e.lent &= e.lent - 1 {
		r := ir.Reg(bits.TrailingZeros32(uint32(e.lent)))
		e.rm(opLoad, 8, r, belowSP(r))
	}
}

// belowSP is where a register's value waits.
func belowSP(r ir.Reg) address { return at(rsp, -8*int32(r+1)) }

// ret returns from the function.
func (e *Emitter) ret() {
	e.freeFrame()
	if e.funcs[e.fn].Called {
		e.put(opRet, 1)
	} else {
		e.returnToStub()
	}
}

// freeFrame moves the stack pointer back to where it was when the function began.
func (e *Emitter) freeFrame() {
	if e.frame != 0 {
		e.addImm(8, rsp, e.frame)
	}
}
