package ir

import (
	"fmt"
	"math/bits"
	"slices"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/verifier"
)

// Source is a program to be compiled.
type Source struct {
	Name  string
	Insns []isa.Instruction
	// Facts are what the verifier proved of each instruction; nil: nothing.
	Facts []verifier.Fact
	// Call gives the helper or kernel function that an instruction calls, by its index
	// in the program's table, and how many arguments it takes.
	Call func(at int) (index int, args uint8)
	// Constant is what a wide load gives.
	Constant func(at int) uint64
	// Access says how a load, store or atomic accesses memory that is not plain.
	Access func(at int) Access
	// Trapped are instructions that must not be reached.
	Trapped []int
	// Exception is the function that an exception goes on in; 0: none.
	Exception int
	// Targets are where an indirect jump may lead, as the address that its register
	// has then and the instruction.
	Targets func(at int) []JumpTarget
}

// Access is how an instruction accesses memory.
type Access struct {
	Slow bool // through Go
	// Width bytes at Off from the base register instead of what the instruction
	// says; what was loaded is shifted by Shift bits to the right, and of these the bits
	// of Mask: a field of the context. Width is 0 for a plain access.
	Width, Shift uint8
	Off          int32
	Mask         uint64
	// Limit, where it is not 0, is the least number whose store of four bytes does
	// nothing.
	Limit uint32
}

// JumpTarget is where an indirect jump leads.
type JumpTarget struct {
	Address uint64
	At      int
}

const (
	// helperWeight is what a call of a helper takes of the budget: as much time as
	// so many instructions.
	helperWeight = 20
	// maxWeight bounds what a call of a function takes.
	maxWeight = 1 << 24
	// maxStraight is how much of the budget a function may use without looking.
	maxStraight = 50_000
	// mayGotoLimit is how often a function may fall through may_goto (BPF_MAX_LOOPS).
	mayGotoLimit = 8 << 20
)

// Lift makes a program's functions of its bytecode, in the memory of a workspace. It
// fails where functions call each other in a circle, or leads out of their function.
func Lift(src *Source, w *Workspace) (*Program, error) {
	n := len(src.Insns)
	l := &lifter{
		src: src, work: w, starts: isa.Functions(src.Insns),
		block: w.int32s.make(n + 1), kind: w.kinds.make(n + 1), weight: w.int32s.make(n + 1),
	}
	if src.Exception != 0 {
		l.starts = append(l.starts, src.Exception)
		slices.Sort(l.starts)
		l.starts = slices.Compact(l.starts)
	}
	l.index = w.int32s.make(len(l.starts))
	l.entered = make([]bool, len(l.starts))
	l.prog = &Program{work: w}
	for i := len(l.starts) - 1; i >= 0; i-- {
		if err := l.function(i); err != nil {
			return nil, err
		}
	}
	for i, start := range l.starts {
		if n := l.index[i]; n > 0 {
			l.prog.Funcs[n-1].Entered = l.entered[i] || start == 0 || start == src.Exception
		}
	}
	return l.prog, nil
}

// lifter lifts a program.
type lifter struct {
	src     *Source
	work    *Workspace
	prog    *Program
	starts  []int   // of functions
	index   []int32 // of functions, in prog.Funcs and from 1; -1 while they are being lifted
	entered []bool  // functions that Go may enter
	block   []int32 // of the instruction that begins one, from 1
	kind    []kind  // of instructions
	weight  []int32 // of all instructions up to each one of its function

	// The function that is being lifted.
	fn      *Func
	frame   Var      // holds Frame for instructions that take none; None: there are none
	counter Var      // of what is left of may_goto; None: there is none
	spent   int32    // of the budget, when it was last looked at in straight code
	room    []Ins    // all instructions so far
	began   int      // where the block in room begins
	blocks  int32    // how many there are without those in queue
	queue   []func() // lift blocks that were put off
}

// new is an instruction without operands, of 8 bytes.
func (l *lifter) new(op Op, at int) Ins {
	i := blank
	i.Op, i.At = op, int32(at)
	return i
}

// function lifts a function behind those that it calls.
func (l *lifter) function(i int) error {
	switch {
	case l.index[i] > 0:
		return nil
	case l.index[i] < 0:
		return fmt.Errorf("compile %s: the function at instruction %d calls itself", l.src.Name, l.starts[i])
	}
	l.index[i] = -1
	start, end := l.starts[i], l.endOf(i)
	if start > 0 && !l.reached(start) {
		return nil
	}
	if err := l.scan(start, end); err != nil {
		return err
	}
	l.lift(start, end)
	l.prog.Funcs = append(l.prog.Funcs, l.fn)
	l.index[i] = int32(len(l.prog.Funcs))
	return nil
}

// startOf is which function a call of a function calls, or an instruction gives the
// address of, callee its index in the
// program, from 1.
func (l *lifter) startOf(at int, ins isa.Instruction) int {
	i, _ := slices.BinarySearch(l.starts, at+1+int(ins.Imm))
	return i
}

func (l *lifter) callee(at int, ins isa.Instruction) int32 { return l.index[l.startOf(at, ins)] }

// endOf is the instruction behind a function.
func (l *lifter) endOf(i int) int {
	if i+1 < len(l.starts) {
		return l.starts[i+1]
	}
	return len(l.src.Insns)
}

func (l *lifter) reached(at int) bool { return l.src.Facts == nil || l.src.Facts[at].Reached }

// lift makes l.fn of instructions start to end: a block of its own where it begins,
// so that nothing jumps there, one for each run of instructions, and behind these
// what jumps and packet loads need besides.
func (l *lifter) lift(start, end int) {
	l.fn = &l.work.funcs.make(1)[0]
	*l.fn = Func{
		Name: fmt.Sprintf("%s+%d", l.src.Name, start), Entry: start, Len: end - start, Vars: FirstFree, Frame: isa.StackSize, Params: 5, work: l.work,
	}
	l.counter, l.frame, l.spent = None, None, 0
	blocks := l.number(start, end)
	l.blocks = int32(blocks) + 1
	l.fn.Blocks = l.work.blocks.room(blocks + 4)
	l.room = l.work.ins.room((end-start)*5/4 + 8) // so that most blocks lie in one piece of memory
	l.open()
	l.clear(start)
	l.add(Jump, start)
	l.close(1, -1)
	for at := start; at < end; {
		if l.block[at] == 0 {
			at++ // dead
			continue
		}
		l.open()
		at = l.run(at, end)
	}
	l.appended()
	if l.counter != None {
		count := l.new(Const, start)
		count.Dst, count.Imm = l.counter, mayGotoLimit
		l.begin(count)
	}
	if l.frame != None {
		frame := l.new(Mov, start)
		frame.Dst, frame.A = l.frame, Frame
		l.begin(frame)
	}
}

// begin lets the function begin with an instruction.
func (l *lifter) begin(i Ins) {
	entry := &l.fn.Blocks[0]
	entry.Ins = slices.Insert(slices.Clip(entry.Ins), 0, i)
}

// clear zeroes the words of a function's frame that it may read without having written
// them.
func (l *lifter) clear(start int) {
	if l.src.Facts == nil {
		return
	}
	for words := l.src.Facts[start].Uninit; words != 0; words &= words - 1 {
		i := l.new(Store, start)
		i.A, i.Width, i.Off = Frame, 8, -8*int32(bits.TrailingZeros64(words)+1)
		l.emit(i)
	}
}

// open begins a block, emit adds an instruction to it, close ends it and says where it
// leads.
func (l *lifter) open() { l.began = len(l.room) }

func (l *lifter) emit(i Ins) { l.room = append(l.room, i) }

func (l *lifter) close(taken, next int32) {
	l.fn.Blocks = append(l.fn.Blocks, Block{})
	b := &l.fn.Blocks[len(l.fn.Blocks)-1]
	b.Ins, b.Succ[0], b.Succ[1] = l.room[l.began:len(l.room):len(l.room)], taken, next
}

// next adds an instruction that is like another one, for the caller to complete.
func (l *lifter) next(like *Ins) *Ins {
	n := len(l.room)
	if n == cap(l.room) {
		l.room = slices.Grow(l.room, n)
	}
	l.room = l.room[:n+1]
	l.room[n] = *like
	return &l.room[n]
}

// add adds one without operands, of 8 bytes.
func (l *lifter) add(op Op, at int) *Ins {
	i := l.next(&blank)
	i.Op, i.At = op, int32(at)
	return i
}

// blank is an instruction without operands.
var blank = Ins{Size: 8, Dst: None, A: None, B: None, C: None}

// run lifts the instructions of the block that begins at an instruction, and gives
// the one behind it.
func (l *lifter) run(at, end int) int {
	l.spend(at)
	for first := at; at < end; {
		k, ins := l.kind[at], &l.src.Insns[at]
		if k != reached {
			switch {
			case l.block[at] != 0 && at != first:
				l.add(Jump, at-1)
				l.close(l.block[at], -1)
				return at
			case k&(reached|trapped) != reached:
				l.trap(at)
				return at + 1
			case k&ends != 0:
				l.end(at, ins, k)
				return at + 1
			}
		}
		l.instruction(at, ins, k)
		if at++; ins.IsWide() {
			at++
		}
	}
	l.trap(at)
	return at + 1
}

// trap ends a block where it must not be reached.
func (l *lifter) trap(at int) {
	l.add(Trap, at)
	l.close(-1, -1)
}

// spend looks at the budget where straight code has become long.
func (l *lifter) spend(at int) {
	if w := l.weight[at]; w-l.spent > maxStraight {
		l.add(Fuel, at).Imm = int64(w - l.spent)
		l.spent = w
	}
}

// end lifts the last instruction of a block.
func (l *lifter) end(at int, ins *isa.Instruction, k kind) {
	switch control[ins.Op] {
	case controlPacket:
		l.packetLoad(at, ins, l.new(Jump, at))
	case controlGotox:
		l.gotox(ins, l.new(Jump, at), l.src.Targets(at))
	case controlStore:
		l.limitedStore(at, ins, l.new(Jump, at))
	case controlExit:
		l.add(Return, at)
		l.close(-1, -1)
	default:
		l.jump(at, ins, k)
	}
}

// jump lifts a jump, which takes from the budget where it leads back.
func (l *lifter) jump(at int, ins *isa.Instruction, k kind) {
	target := jumpTarget(at, ins)
	taken, next, always := int32(-1), int32(-1), goes(ins)
	if always || l.takes(at) {
		taken = l.block[target]
	}
	if !always && l.passes(at) && at+1 < len(l.block) {
		next = l.block[at+1]
	}
	back := taken > 0 && target <= at
	if back && k&splits == 0 {
		l.fuel(at, target)
	}
	switch {
	case taken <= 0 && next <= 0:
		l.trap(at)
	case taken <= 0 || next <= 0:
		l.add(Jump, at)
		l.close(max(taken, next), -1)
	case ins.Op&0xf0 == isa.JmpJCOND:
		l.mayGoto(l.new(Jump, at), taken, next)
	case back:
		l.condition(ins, l.add(Branch, at))
		l.close(int32(len(l.fn.Blocks))+1, next)
		l.open()
		l.fuel(at, target)
		l.add(Jump, at)
		l.close(taken, -1)
	default:
		l.condition(ins, l.add(Branch, at))
		l.close(taken, next)
	}
}

// fuel takes from the budget for a jump back.
func (l *lifter) fuel(at, target int) {
	l.add(Fuel, at).Imm = int64(l.weight[at] - l.weight[target] + 1)
}

// mayGoto jumps if the function's counter is 0, and counts down otherwise.
func (l *lifter) mayGoto(i Ins, taken, next int32) {
	if l.counter == None {
		l.counter = l.fn.NewVar()
	}
	test := i
	test.Op, test.Cond, test.Size, test.A, test.Flag = Branch, Eq, 8, l.counter, Cold
	l.emit(test)
	l.close(taken, l.later(func() {
		down := i
		down.Op, down.Size, down.Dst, down.A, down.Imm = Add, 8, l.counter, l.counter, -1
		l.emit(down)
		i.Op = Jump
		l.emit(i)
		l.close(next, -1)
	}))
}

// gotox compares the register with each address that it may have.
func (l *lifter) gotox(ins *isa.Instruction, i Ins, targets []JumpTarget) {
	if len(targets) == 0 {
		l.trap(int(i.At))
		return
	}
	test := i
	test.Op, test.Cond, test.Size, test.A, test.Imm = Branch, Eq, 8, Var(ins.Dst), int64(targets[0].Address)
	l.emit(test)
	l.close(l.block[targets[0].At], l.later(func() { l.gotox(ins, i, targets[1:]) }))
}

// packetLoad is LD_ABS and LD_IND. Go gives a negative number for a load outside the
// packet, which ends the function with 0.
func (l *lifter) packetLoad(at int, ins *isa.Instruction, i Ins) {
	load, test := i, i
	load.Op, load.Dst, load.A = Packet, 0, isa.R6
	if ins.Op&0xe0 == isa.ModeIND {
		load.B = Var(ins.Src)
	}
	l.emit(load)
	test.Op, test.Cond, test.Size, test.A, test.Flag = Branch, Slt, 8, 0, Cold
	l.emit(test)
	l.close(l.later(func() {
		zero := i
		zero.Op, zero.Dst = Const, 0
		l.emit(zero)
		i.Op = Return
		l.emit(i)
		l.close(-1, -1)
	}), l.block[at+1])
}

// limitedStore stores what is below the limit.
func (l *lifter) limitedStore(at int, ins *isa.Instruction, i Ins) {
	next, limit := l.block[at+1], l.src.Access(at).Limit
	if ins.Class() == isa.ClassST {
		if uint32(ins.Imm) < limit {
			l.instruction(at, ins, l.kind[at])
		}
		l.emit(i)
		l.close(next, -1)
		return
	}
	test := i
	test.Op, test.Cond, test.Size, test.A, test.Imm, test.Flag = Branch, Uge, 4, l.operand(ins.Src), int64(limit), Cold
	l.emit(test)
	l.close(next, l.later(func() {
		l.instruction(at, ins, l.kind[at])
		l.emit(i)
		l.close(next, -1)
	}))
}

// later gives the number of a block that f will lift behind all others.
func (l *lifter) later(f func()) int32 {
	l.queue = append(l.queue, f)
	return l.blocks + int32(len(l.queue)) - 1
}

// appended lifts the blocks that were put off, and those that these put off.
func (l *lifter) appended() {
	for n := 0; n < len(l.queue); n++ {
		l.open()
		l.queue[n]()
	}
	l.queue = l.queue[:0]
}
