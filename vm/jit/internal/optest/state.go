package optest

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"github.com/skep-ebpf/skep/vm/jit/abi"
	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// shared is what a function gets and leaves, in memory outside the Go heap.
type shared struct {
	vars   [64]uint64
	memory [memoryWords]uint64 // for accesses
	own    [ownWords]uint64    // the same in the function's frame
	frame  uint64              // the address of Frame
	went   uint64              // which way a branch went, 1 or 2
}

const (
	memoryWords = 64
	ownWords    = 16
)

// state is that together with what else the instruction changes or depends on.
type state struct {
	shared
	base   uint64 // the address of memory
	low    uint64 // that of own in the frame
	budget int64
	exits  []exit
	reply  reply
}

// exit says that native code was left.
type exit struct {
	code uint32
	arg  uint64
	args []any // R1 to Rn; nil: does not matter
}

// reply is what Go answers to exits.
type reply struct {
	r0  uint64
	arg uint64 // Context.Arg
	r1  uint64 // Context.Args[0]

	ends   bool // the function, before its end
	result uint64
}

// refill is what Go adds to the budget when nothing is left.
const refill = 1 << 20

// serve answers exits as [state.exit] expects it, and notes them.
func (s *state) serve(c *abi.Context) {
	got := exit{c.Exit, c.Arg, nil}
	for _, r := range c.Args {
		got.args = append(got.args, r)
	}
	s.exits = append(s.exits, got)
	if c.Exit == abi.ExitFuel {
		c.Budget += refill
	}
	c.R0, c.Arg, c.Args[0] = s.reply.r0, s.reply.arg, s.reply.r1
}

// at gives the bytes at an address.
func (s *state) at(addr uint64, width uint8) []byte {
	area, off := s.memory[:], addr-s.base
	if low := addr - s.low; low < 8*ownWords {
		area, off = s.own[:], low
	}
	if off+uint64(width) > uint64(8*len(area)) {
		panic(fmt.Sprintf("unreachable: access of %d bytes at %#x", width, addr))
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&area[0])), 8*len(area))[off:][:width]
}

func (s *state) load(addr uint64, width uint8) uint64 {
	var b [8]byte
	copy(b[:], s.at(addr, width))
	return binary.LittleEndian.Uint64(b[:])
}

func (s *state) store(addr uint64, width uint8, v uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	copy(s.at(addr, width), b[:])
}

// differs says in what a state is not as wanted behind an instruction, of which the
// given variables matter.
func (s *state) differs(want *state, vars ir.Set) string {
	for v, rest := vars.Next(); v < 64; v, rest = rest.Next() {
		if s.vars[v] != want.vars[v] {
			return fmt.Sprintf("variable %d is %#x, not %#x", v, s.vars[v], want.vars[v])
		}
	}
	for k := range s.memory {
		if s.memory[k] != want.memory[k] {
			return fmt.Sprintf("memory at %d is %#x, not %#x", 8*k, s.memory[k], want.memory[k])
		}
	}
	for k := range s.own {
		if s.own[k] != want.own[k] {
			return fmt.Sprintf("frame memory at %d is %#x, not %#x", 8*k, s.own[k], want.own[k])
		}
	}
	if s.went != want.went {
		return fmt.Sprintf("goes to %d, not to %d", s.went, want.went)
	}
	return ""
}

// exitsDiffer is the same about exits and the budget.
func (s *state) exitsDiffer(want *state) string {
	if s.budget != want.budget {
		return fmt.Sprintf("leaves a budget of %d, not %d", s.budget, want.budget)
	}
	if len(s.exits) != len(want.exits) {
		return fmt.Sprintf("leaves %d times, not %d", len(s.exits), len(want.exits))
	}
	for k, w := range want.exits {
		g := s.exits[k]
		if g.code != w.code || g.arg != w.arg {
			return fmt.Sprintf("leaves with %d and %#x, not %d and %#x", g.code, g.arg, w.code, w.arg)
		}
		for n, a := range w.args {
			if a != nil && a != g.args[n] {
				return fmt.Sprintf("leaves with %#x in R%d, not %#x", g.args[n], n+1, a)
			}
		}
	}
	return ""
}
