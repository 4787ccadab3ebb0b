package interp

import (
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/maps"
)

// Arena is a map whose memory programs share with user space. Pointers into it
// are kept as user space's addresses and cast before use. Only their lower 32
// bits tell them apart, and where these are 0 a pointer is NULL, as in Linux.
type Arena interface {
	maps.Map
	// UserBase is the address in user space of the first byte of Info().Values.
	UserBase() uint64
	// Allocated reports whether all of n bytes from an offset on are in pages that
	// are allocated.
	Allocated(offset, n uintptr) bool
}

// arena is what a cast needs of an Arena.
type arena struct {
	arena Arena
	base  uint64 // the address of its first byte in the machine
	user  uint64 // and in user space
	from  exec.Prov
}

func newArena(a Arena) *arena {
	info := a.Info()
	return &arena{arena: a, base: uint64(info.Values.Base), user: a.UserBase(), from: exec.MapValue(info.Handle, 0)}
}

// isArena reports whether a pointer leads into an arena.
func (m *machine) isArena(from exec.Prov) bool {
	return m.prog.arena != nil && from == m.prog.arena.from
}

// admitArena judges an access of an arena: it gives true where the loop may do
// it. A pointer counts modulo 32 bits, and where no page is allocated a load
// gives 0 and a store has no effect, as in Linux.
func (m *machine) admitArena(o *op, a, n uintptr, kind access) bool {
	ar := m.prog.arena
	ins := m.insn(o)
	reg := ins.Src
	if kind != loads {
		reg = ins.Dst
	}
	switch v := m.reg[reg]; {
	case v>>32 == 0: // NULL, which is an address like others, and in 4 GiB the first page's
		m.reg[reg] = ar.base + uint64(uint32(v)-uint32(ar.user))
		m.jump(o)
		return false
	case (v-ar.base)>>32 != 0:
		m.reg[reg] = ar.base + uint64(uint32(v-ar.base))
		m.jump(o)
		return false
	}
	if at := uint64(a) - ar.base; at>>32 == 0 && ar.arena.Allocated(uintptr(at), n) {
		return true
	}
	switch {
	case kind == loads:
		m.reg[ins.Dst], m.prov[ins.Dst] = 0, 0
	case kind == updates && ins.Imm == isa.AtomicCMPXCHG:
		m.reg[isa.R0], m.prov[isa.R0] = 0, 0
	case kind == updates && fetches(ins):
		m.reg[ins.Src], m.prov[ins.Src] = 0, 0
	}
	return false
}

// toKernel is the machine's address for user space's.
func (a *arena) toKernel(v uint64) uint64 {
	if uint32(v) == 0 {
		return 0
	}
	return a.base + uint64(uint32(v)-uint32(a.user))
}

// toUser is user space's address for the machine's.
func (a *arena) toUser(v uint64) uint64 {
	if v == 0 {
		return 0
	}
	low := uint32(v-a.base) + uint32(a.user)
	if low == 0 {
		return 0
	}
	return a.user>>32<<32 | uint64(low)
}
