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

// accessArena does an access of an arena in checked mode.
func (m *machine) accessArena(o *op) {
	ins := m.insn(o)
	value := uint64(int64(ins.Imm))
	if ins.Class() == isa.ClassSTX {
		value = m.reg[ins.Src]
	}
	v := m.prog.arena.access(ins, m.reg[addressReg(ins)], value, m.reg[isa.R0])
	if r, ok := ins.Writes(); ok {
		m.reg[r], m.prov[r] = v, 0
	}
}

// access does an access of an arena through a register that holds base. Only the
// address's lower 32 bits count, and where no page is allocated a load gives 0 and a
// store has no effect, as in Linux.
func (a *arena) access(ins isa.Instruction, base, value, r0 uint64) uint64 {
	if base>>32 == 0 { // NULL, which is an address like others, and in 4 GiB the first page's
		base = a.base + uint64(uint32(base)-uint32(a.user))
	}
	at := uint64(uint32(base-a.base)) + uint64(int64(ins.Off))
	if at>>32 != 0 || !a.arena.Allocated(uintptr(at), uintptr(isa.SizeOf(ins.Op))) {
		return 0
	}
	return transfer(uintptr(a.base+at), ins, value, r0)
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
