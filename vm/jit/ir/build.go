package ir

import (
	"math/bits"

	"github.com/skep-ebpf/skep/vm/jit/abi"
)

// builder writes the blocks of a function, one instruction after another.
type builder struct {
	f       *Func
	blocks  []Block
	now     int32    // the block that is being written
	from    int32    // the instruction of the bytecode that it is for
	section *[]int32 // where blocks are being laid out: hot or cold
	hot     []int32  // the blocks in the order in which they are laid out
	cold    []int32  // those that are hardly ever reached, and come behind the others
}

// block makes a block without saying where it lies.
func (b *builder) block() int32 {
	b.blocks = append(b.blocks, Block{Succ: [2]int32{-1, -1}})
	return int32(len(b.blocks) - 1)
}

// begin goes on in a block, which lies here.
func (b *builder) begin(block int32) { b.lay(&b.hot, block) }

// beginCold goes on in a block that is hardly ever reached.
func (b *builder) beginCold(block int32) { b.lay(&b.cold, block) }

func (b *builder) lay(section *[]int32, block int32) {
	*section = append(*section, block)
	b.section, b.now = section, block
}

// copy adds an instruction as it is.
func (b *builder) copy(ins ...Ins) {
	block := &b.blocks[b.now]
	block.Ins = append(block.Ins, ins...)
}

func (b *builder) add(i Ins) {
	i.At = b.from
	b.copy(i)
}

// op adds dst = a op c.
func (b *builder) op(op Op, dst, a, c Var) {
	b.add(Ins{Op: op, Size: 8, Dst: dst, A: a, B: c, C: None})
}

// imm adds dst = a op n.
func (b *builder) imm(op Op, dst, a Var, n uint64) {
	b.add(Ins{Op: op, Size: 8, Dst: dst, A: a, B: None, C: None, Imm: int64(n)})
}

// imm4 adds dst = a op n on four bytes.
func (b *builder) imm4(op Op, dst, a Var, n uint32) {
	b.add(Ins{Op: op, Size: 4, Dst: dst, A: a, B: None, C: None, Imm: int64(int32(n))})
}

func (b *builder) mov(dst, a Var) { b.op(Mov, dst, a, None) }

func (b *builder) constant(dst Var, n uint64) { b.imm(Const, dst, None, n) }

// scale adds dst = a * n.
func (b *builder) scale(dst, a Var, n uint64) {
	if n&(n-1) != 0 {
		b.imm(Mul, dst, a, n)
		return
	}
	b.imm(Shl, dst, a, uint64(bits.TrailingZeros64(n)))
}

// load adds a load of either kind.
func (b *builder) load(op Op, dst, a Var, off, width int) {
	b.add(Ins{Op: op, Width: uint8(width), Dst: dst, A: a, B: None, C: None, Off: int32(off)})
}

// release adds a store that comes behind all before it.
func (b *builder) release(a Var, off int, value Var, width int) {
	b.add(Ins{Op: StoreRelease, Width: uint8(width), Dst: None, A: a, B: None, C: value, Off: int32(off)})
}

// cpu makes v the number of the CPU.
func (b *builder) cpu(v Var) {
	b.op(Context, v, None, None)
	b.load(Load, v, v, int(abi.OffCPU), 8)
}

func (b *builder) store(a Var, off int, value Var, width int) {
	b.add(Ins{Op: Store, Width: uint8(width), Dst: None, A: a, B: None, C: value, Off: int32(off)})
}

// jump ends the block.
func (b *builder) jump(to int32) {
	b.add(Ins{Op: Jump, Dst: None, A: None, B: None, C: None})
	b.end(to, -1)
}

// branch ends the block: it leads to another one if a cond c, or a cond n where c
// is None, and else to a new one, in which it goes on.
func (b *builder) branch(flag Flag, cond Cond, a, c Var, n uint64, to int32) {
	b.test(Ins{Cond: cond, Flag: flag, Size: 8, A: a, B: c, Imm: int64(n)}, to)
}

// branch4 compares four bytes of a and c.
func (b *builder) branch4(cond Cond, a, c Var, to int32) {
	b.test(Ins{Cond: cond, Size: 4, A: a, B: c}, to)
}

func (b *builder) test(i Ins, to int32) {
	i.Op, i.Dst, i.C = Branch, None, None
	b.add(i)
	next := b.block()
	b.end(to, next)
	b.lay(b.section, next)
}

// ret ends the block and the function.
func (b *builder) ret() {
	b.add(Ins{Op: Return, Dst: None, A: None, B: None, C: None})
	b.end(-1, -1)
}

// end says where the block leads, whose last instruction there is.
func (b *builder) end(succ ...int32) { copy(b.blocks[b.now].Succ[:], succ) }

// finish gives the function its blocks.
func (b *builder) finish() {
	order := append(b.hot, b.cold...)
	place := make([]int32, len(b.blocks))
	for to, from := range order {
		place[from] = int32(to)
	}
	b.f.Blocks = make([]Block, len(order))
	for to, from := range order {
		block := b.blocks[from]
		for side, succ := range block.Succ {
			if succ >= 0 {
				block.Succ[side] = place[succ]
			}
		}
		b.f.Blocks[to] = block
	}
}
