package arm64

import (
	"encoding/binary"
	"fmt"

	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// Target is what the passes know of arm64.
var Target = ir.Target{
	Fixed:   [6]ir.Reg{0, 1, 2, 3, 4, 5},
	Free:    []ir.Reg{6, 7, 8, 9, 10, 11, 19, 20, 21, 22, 23, 24, 25, 26},
	Scratch: [2]ir.Reg{scratch0, scratch1},
	All:     1<<18 - 1 | (1<<27 - 1<<19) | 1<<lr,
}

// Options say for what processor and how code is made.
type Options struct {
	// LSE says that the processor has the atomic instructions of Armv8.1.
	LSE bool
	// Seed is where random padding between instructions begins; 0: none.
	Seed uint64
}

// Emit makes a program's code. The functions have to be coloured. The same program
// and options give the same code.
func Emit(p *ir.Program, opts Options) (*ir.Code, error) {
	n := len(p.Funcs)
	code := &ir.Code{Entries: make([]uint32, n), Stacks: make([]uint32, n)}
	e := &emitter{opts: opts, prog: p, pad: padding{opts.Seed}, entries: make([]int32, n), stacks: code.Stacks}
	e.stubs(code)
	for i, f := range p.Funcs {
		if err := e.function(i, f); err != nil {
			return nil, fmt.Errorf("compile function %s: %w", f.Name, err)
		}
		code.Entries[i] = offset(e.entries[i])
	}
	code.Bytes = make([]byte, 0, offset(e.here()))
	for _, f := range e.code {
		code.Bytes = binary.LittleEndian.AppendUint32(code.Bytes, uint32(f))
	}
	code.Lines = e.lines
	return code, nil
}

// offset is in bytes what n is in instructions.
func offset(n int32) uint32 { return uint32(n) * 4 }

// emitter is what Emit keeps while it goes over a program.
type emitter struct {
	assembler
	opts    Options
	prog    *ir.Program
	pad     padding
	entries []int32  // where the functions begin
	stacks  []uint32 // bytes that they take, with what they call
	leaving int32    // where the leave stub does
	lines   []ir.Line

	// Of the function at hand:
	fn    int
	f     *ir.Func
	regs  [64]reg // of the variables
	frame frame
	colds []cold
	err   error // the first one
}

// cold is what stands behind the function's other code, because it is hardly ever
// run: what to do about an instruction, and where to go on.
type cold struct {
	ins         *ir.Ins
	label, back int32
}

// function emits a function, and does so again where jumps turned out too short.
func (e *emitter) function(fn int, f *ir.Func) error {
	e.fn, e.f = fn, f
	e.regs = f.Regs
	copy(e.regs[:], Target.Fixed[:])
	copy(e.regs[ir.Scratch0:], Target.Scratch[:])
	e.layout()
	if e.err != nil {
		return e.err
	}
	e.reach = reachBit
	for begin, lines, pad := e.here(), len(e.lines), e.pad; ; {
		e.pad = pad
		e.body()
		if e.err != nil {
			return e.err
		}
		need, err := e.link()
		if err != nil {
			return err
		}
		if need == e.reach {
			return nil
		}
		e.reach = need
		e.code, e.lines = e.code[:begin], e.lines[:lines]
	}
}

// body emits the function's code. The labels of blocks are their indices.
func (e *emitter) body() {
	e.align()
	e.labels, e.jumps, e.colds = e.labels[:0], e.jumps[:0], e.colds[:0]
	for range e.f.Blocks {
		e.label()
	}
	e.entries[e.fn] = e.here()
	e.line(&e.f.Blocks[0].Ins[0])
	e.prologue()
	for i := range e.f.Blocks {
		e.bind(int32(i))
		block := &e.f.Blocks[i]
		for j := range block.Ins {
			ins := &block.Ins[j]
			e.pad.between(&e.assembler)
			e.line(ins)
			if ins.Ends() {
				e.end(ins, block.Succ, int32(i+1))
			} else {
				e.instruction(ins)
			}
		}
	}
	for _, c := range e.colds {
		e.line(c.ins)
		e.bind(c.label)
		e.outOfFuel(c.ins)
		e.jump(b, c.back)
	}
}

// align puts no-operations up to an address that is a multiple of 16.
func (e *emitter) align() {
	for e.here()%4 != 0 {
		e.emit(nop)
	}
}

// line notes which instruction of the bytecode the code from here on comes from.
func (e *emitter) line(i *ir.Ins) {
	next := ir.Line{Off: offset(e.here()), Func: int32(e.fn), At: i.At}
	if n := len(e.lines); n > 0 {
		last := &e.lines[n-1]
		if last.Func == next.Func && last.At == next.At {
			return
		}
		if last.Off == next.Off {
			*last = next
			return
		}
	}
	e.lines = append(e.lines, next)
}

// reg is a variable's register.
func (e *emitter) reg(i *ir.Ins, v ir.Var) reg {
	r := e.regs[v&63]
	if v > ir.Scratch1 || r > lr {
		e.fail(i, "variable %d has no register", v)
		return zr
	}
	return r
}

// fail notes the first mistake in what is to be compiled.
func (e *emitter) fail(i *ir.Ins, format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf("instruction %d: "+format, append([]any{i.At}, args...)...)
	}
}
