package verifier

import (
	"math"
	"math/bits"

	"github.com/skep-ebpf/skep/isa"
)

// Why loops end, without following their turns. An instruction in a loop that adds to
// a register is passed a bounded number of times if
//
//   - all else in the loop that writes to the register adds to it too, with the same
//     sign, and no sum wraps around: the register only ever grows, or only shrinks;
//   - it adds at least 1, and before it the register lies in an interval that the walk
//     found.
//
// Between two passes of such instructions the program stays in what is left of the loop
// without them. If that has no loop, or only such that end for the same reason, the
// loop ends. It does not matter where the loop is left, or by which comparison: that is
// in the interval. Functions called in a loop end for themselves, since there is no
// recursion, and leave R6 to R9 and the caller's turns alone.

// maxTurns is how often a loop may turn: as often as bpf_loop does at most
// (BPF_MAX_LOOPS).
const maxTurns = 1 << 23

// ways is a set of ways in which additions may go: up or down, with the register read
// as unsigned or signed, of 64 or 32 bits.
type ways uint8

const (
	unsignedUp ways = 1 << iota
	unsignedDown
	signedUp
	signedDown

	waysWide   ways = 0x0f
	waysNarrow      = waysWide << 4
)

// advance is what the walk saw of an addition in a loop.
type advance struct {
	ways  ways   // those in which no sum wrapped around
	least uint64 // the smallest number added, without its sign
	// The interval of what was added to, as unsigned and as signed number. Signed ones
	// are moved so that their order is that of unsigned ones.
	lo, hi [2]uint64
}

// isAdvance reports whether an instruction adds to a register, or subtracts.
func isAdvance(ins *isa.Instruction) bool {
	op := ins.Op & 0xf0
	return (ins.Class() == isa.ClassALU64 || ins.Class() == isa.ClassALU) && (op == isa.AluADD || op == isa.AluSUB)
}

// note takes down what is added to what by the instruction about to be looked at.
func (s *summary) note(c *checker) {
	ins := &c.insns[c.insn]
	if c.aux[c.insn].loop == 0 || !isAdvance(ins) {
		return
	}
	a := s.advances[c.insn]
	if a == nil {
		a = &advance{ways: waysWide, least: math.MaxUint64, lo: [2]uint64{math.MaxUint64, math.MaxUint64}}
		if ins.Class() == isa.ClassALU {
			a.ways = waysNarrow
		}
		s.advances[c.insn] = a
	}
	dst, by := c.reg(ins.Dst), &Reg{Type: Scalar}
	if by.setConst(uint64(int64(ins.Imm))); ins.Op&isa.SrcX != 0 {
		by = c.reg(ins.Src)
	}
	if dst.Type != Scalar || by.Type != Scalar {
		a.ways = 0
		return
	}
	a.see(ins, dst, by)
}

// see adds one state to what was seen.
func (a *advance) see(ins *isa.Instruction, dst, by *Reg) {
	least, most, top := by.SMin, by.SMax, uint64(math.MaxUint64)
	lo, hi := [2]uint64{dst.UMin, uint64(dst.SMin) ^ 1<<63}, [2]uint64{dst.UMax, uint64(dst.SMax) ^ 1<<63}
	shift := 0
	if ins.Class() == isa.ClassALU {
		least, most, top, shift = int64(by.S32Min), int64(by.S32Max), math.MaxUint32, 4
		lo = [2]uint64{uint64(dst.U32Min), uint64(uint32(dst.S32Min) ^ 1<<31)}
		hi = [2]uint64{uint64(dst.U32Max), uint64(uint32(dst.S32Max) ^ 1<<31)}
	}
	if ins.Op&0xf0 == isa.AluSUB {
		if least == math.MinInt64 { // has no opposite
			a.ways = 0
			return
		}
		least, most = -most, -least
	}
	var w ways
	for i := range 2 {
		if least >= 0 && uint64(most) <= top-hi[i] {
			w |= unsignedUp << (2 * i)
		}
		if most <= 0 && uint64(-least) <= lo[i] {
			w |= unsignedDown << (2 * i)
		}
		a.lo[i], a.hi[i] = min(a.lo[i], lo[i]), max(a.hi[i], hi[i])
	}
	a.ways &= w << shift
	switch {
	case least > 0:
		a.least = min(a.least, uint64(least))
	case most < 0:
		a.least = min(a.least, uint64(-most))
	default:
		a.least = 0
	}
}

// bounded reports whether the addition is passed a bounded number of times, where all
// additions to the register go in some ways.
func (a *advance) bounded(all ways) bool {
	if a.least == 0 {
		return false
	}
	for w := all & a.ways; w != 0; w &= w - 1 {
		reading := bits.TrailingZeros8(uint8(w)) / 2 % 2
		if (a.hi[reading]-a.lo[reading])/a.least < maxTurns {
			return true
		}
	}
	return false
}

// terminates reports whether all loops end, after a walk that summarised them.
func (c *checker) terminates() bool {
	bounded := make([]bool, len(c.insns))
	for i := range bounded {
		bounded[i] = !c.aux[i].seen
	}
	for {
		part, n := c.parts(bounded)
		if n == 0 {
			return true
		}
		all, found := c.commonWays(part, n), false
		for i, p := range part {
			if a := c.summary.advances[i]; p != 0 && a != nil && a.bounded(all[p][c.insns[i].Dst]) {
				bounded[i], found = true, true
			}
		}
		if !found {
			return false
		}
	}
}

// commonWays gives, of each part of the program and each register, the ways in which
// everything in the part that writes to the register adds to it.
func (c *checker) commonWays(part []int32, n int32) [][11]ways {
	all := make([][11]ways, n+1)
	for p := range all {
		for r := range all[p] {
			all[p][r] = waysWide | waysNarrow
		}
	}
	for i, p := range part {
		if p == 0 {
			continue
		}
		_, writes := c.usedRegs(i)
		if isPacketLoad(&c.insns[i]) {
			writes = callerRegs
		}
		for ; writes != 0; writes &= writes - 1 {
			w := &all[p][bits.TrailingZeros16(writes)]
			if a := c.summary.advances[i]; a != nil {
				*w &= a.ways
			} else {
				*w = 0
			}
		}
	}
	return all
}
