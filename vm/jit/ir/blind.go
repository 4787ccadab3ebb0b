package ir

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// Blind hides the numbers that a program chose: each is put together from two that are
// random when it is needed. Otherwise a program from a stranger could have code of its own
// choice lie within the numbers of its instructions, for a fault elsewhere to jump to. As
// in Linux (bpf_jit_harden), numbers of a few bits stay: counts of shifts, and offsets of 2
// bytes.
//
// It comes after all passes that look at numbers, and keeps liveness as it is. It fails
// where a function has no two variables left.
func (p *Program) Blind(random rand.Source) error {
	for _, f := range p.Funcs {
		b := blinder{random: random, memory: &f.workspace().ins, number: f.NewVar(), offset: f.NewVar()}
		if b.offset == None {
			return fmt.Errorf("hide the numbers of %s: all %d variables are in use", f.Name, MaxVars)
		}
		for at := range f.Blocks {
			b.block(&f.Blocks[at])
		}
	}
	return nil
}

// blinder hides the numbers of a function.
type blinder struct {
	memory *arena[Ins]
	random rand.Source
	number Var // has one for the instruction behind
	offset Var // has that of an address, or the address
	out    []Ins
	at     int32
}

func (b *blinder) block(block *Block) {
	b.out = b.memory.room(2 * len(block.Ins))
	for k := range block.Ins {
		i := &block.Ins[k]
		b.at = i.At
		b.far(i)
		b.immediate(i)
	}
	block.Ins = b.out
}

// hide lets v be n.
func (b *blinder) hide(v Var, n int64) {
	key := int64(b.random.Uint64())
	if fits(n) {
		key = int64(int32(key))
	}
	hidden := nothing(b.at)
	hidden.Op, hidden.Dst, hidden.Imm = Const, v, n^key
	found := hidden
	found.Op, found.A, found.Imm = Xor, v, key
	b.out = append(b.out, hidden, found)
}

// immediate writes an instruction without its immediate.
func (b *blinder) immediate(i *Ins) {
	if i.Imm != 0 {
		switch i.Op {
		case Const:
			b.hide(i.Dst, i.Imm)
			return
		case Add, Sub, Mul, And, Or, Xor, MulHi, Branch:
			b.second(i)
		case Div, Mod, Sdiv, Smod:
			if i.B == None && (i.Imm != -1 || i.Op < Sdiv) {
				i.Flag |= NonZero
			}
			b.second(i)
		case Store:
			if i.C == None {
				b.hide(b.number, i.Imm)
				i.C, i.Imm = b.number, 0
			}
		}
	}
	b.out = append(b.out, *i)
}

// second gives an operation or a branch its number in a variable.
func (b *blinder) second(i *Ins) {
	if i.B == None {
		b.hide(b.number, i.Imm)
		i.B, i.Imm = b.number, 0
	}
}

// far puts the offset of an address, if it is of more than 2 bytes, into a variable.
func (b *blinder) far(i *Ins) {
	if i.Op < Lea || i.Op > StoreRelease || i.Off >= math.MinInt16 && i.Off <= math.MaxInt16 {
		return
	}
	b.hide(b.offset, int64(i.Off))
	if i.Op <= Store && i.B == None {
		i.B, i.N, i.Off = b.offset, 0, 0
		return
	}
	sum := nothing(b.at)
	sum.Op, sum.Dst, sum.A, sum.B = Lea, b.offset, i.A, b.offset
	b.out = append(b.out, sum)
	i.A, i.Off = b.offset, 0
}
