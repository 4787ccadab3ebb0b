package arm64

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/skep-ebpf/skep/vm/jit/internal/pad"
	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// Target is what the passes know of arm64.
var Target = ir.Target{
	Fixed:   [6]ir.Reg{0, 1, 2, 3, 4, 5},
	Free:    []ir.Reg{6, 7, 8, 9, 10, 11, 19, 20, 21, 22, 23, 24, 25, 26},
	Scratch: [2]ir.Reg{scratch0, scratch1},
	All:     allRegs,

	FuelKeeps: true,
}

// allRegs are x0 to x17, x19 to x26, and the return address.
const allRegs ir.RegSet = 1<<18 - 1 | (1<<27 - 1<<19) | 1<<lr

// Options say for what processor and how code is made.
type Options struct {
	// LSE says that the processor has the atomic instructions of Armv8.1.
	LSE bool
	// Seed is where random padding between instructions begins; 0: none.
	Seed uint64
}

// Emitter makes programs' code, one after another, and keeps the memory that this
// takes. The zero value is ready.
type Emitter struct {
	assembler
	opts      Options
	prog      *ir.Program
	funcs     []ir.Survey
	pad       uint64 // the state of padding between instructions
	out       ir.Code
	outOfFuel int32 // where the stub for that begins
	err       error // the first one

	// Of the function at hand:
	fn    int
	f     *ir.Func
	frame frame
	deep  int32 // bytes of stack that the deepest function takes that it calls
	colds []cold
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
	e.opts, e.prog, e.funcs, e.pad = opts, p, funcs, opts.Seed
	e.code = slices.Grow(e.code[:0], 2*total+256)
	e.out = ir.Code{
		Bytes: e.out.Bytes[:0], Entries: e.out.Entries[:0], Stacks: e.out.Stacks[:0],
		Lines: slices.Grow(e.out.Lines[:0], total),
	}
	e.stubs()
	for i, f := range p.Funcs {
		if err := e.function(i); err != nil {
			return nil, fmt.Errorf("compile function %s: %w", f.Name, err)
		}
	}
	e.out.Bytes = slices.Grow(e.out.Bytes, 4*len(e.code))[:4*len(e.code)]
	for i, f := range e.code {
		binary.LittleEndian.PutUint32(e.out.Bytes[4*i:], uint32(f))
	}
	code := e.out
	return &code, nil
}

// forget forgets the program, and keeps the memory unless that is much.
func (e *Emitter) forget() {
	if 4*cap(e.code) > maxKept {
		*e = Emitter{}
		return
	}
	clear(e.colds[:cap(e.colds)])
	e.prog, e.funcs, e.f, e.err = nil, nil, nil, nil
}

// offset is in bytes what n is in instructions.
func offset(n int32) uint32 { return uint32(n) * 4 }

// function emits a function, and does so again where jumps turned out too short.
func (e *Emitter) function(fn int) error {
	e.fn, e.f = fn, e.prog.Funcs[fn]
	e.layout()
	e.align()
	begin, lines, state := e.here(), len(e.out.Lines), e.pad
	e.out.Entries = append(e.out.Entries, offset(begin))
	for e.reach = reachBit; e.err == nil; {
		e.body()
		need, err := e.link()
		if err != nil {
			return err
		}
		if need == e.reach {
			break
		}
		e.code, e.out.Lines, e.pad, e.reach = e.code[:begin], e.out.Lines[:lines], state, need
	}
	e.out.Stacks = append(e.out.Stacks, uint32(e.frame.size+e.deep))
	return e.err
}

// body emits the function's code. The labels of blocks are their indices.
func (e *Emitter) body() {
	e.labels, e.jumps, e.colds = e.labels[:0], e.jumps[:0], e.colds[:0]
	for range e.f.Blocks {
		e.label()
	}
	e.line(&e.f.Blocks[0].Ins[0])
	e.prologue()
	for at := range e.f.Blocks {
		e.bind(int32(at))
		block, next := &e.f.Blocks[at], int32(at+1)
		for k := 0; k < len(block.Ins); k++ {
			ins := &block.Ins[k]
			for range pad.Next(&e.pad) {
				e.emit(nop)
			}
			e.line(ins)
			switch {
			case ins.Ends():
				e.end(ins, block.Succ, next)
			case ins.Op == ir.Fuel && block.Ins[k+1].Op == ir.Jump && block.Succ[0] != next:
				e.fuelJump(ins, block.Succ[0])
				k++
			case e.fused(ins, &block.Ins[k+1]):
				k++
			default:
				e.instruction(ins)
			}
		}
	}
	for _, c := range e.colds {
		e.line(c.ins)
		e.cold(c)
	}
}

// align puts no-operations up to an address that is a multiple of 16.
func (e *Emitter) align() {
	for e.here()%4 != 0 {
		e.emit(nop)
	}
}

// line notes which instruction of the bytecode the code from here on comes from.
func (e *Emitter) line(i *ir.Ins) {
	next := ir.Line{Off: offset(e.here()), Func: int32(e.fn), At: i.At}
	if n := len(e.out.Lines); n > 0 {
		last := &e.out.Lines[n-1]
		if last.Func == next.Func && last.At == next.At {
			return
		}
		if last.Off == next.Off {
			*last = next
			return
		}
	}
	e.out.Lines = append(e.out.Lines, next)
}

// reg is a variable's register.
func (e *Emitter) reg(i *ir.Ins, v ir.Var) reg {
	r := e.f.Regs[v&63]
	if v > ir.Scratch1 || r > lr {
		e.fail(i, "variable %d has no register", v)
		return zr
	}
	return r
}

// fail notes the first mistake in what is to be compiled.
func (e *Emitter) fail(i *ir.Ins, format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf("instruction %d: "+format, append([]any{i.At}, args...)...)
	}
}
