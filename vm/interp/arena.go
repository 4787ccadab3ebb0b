package interp

import (
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
}

// arena is what a cast needs of an Arena.
type arena struct {
	base uint64 // the address of its first byte in the machine
	user uint64 // and in user space
	from exec.Prov
}

func newArena(a Arena) *arena {
	info := a.Info()
	return &arena{base: uint64(info.Values.Base), user: a.UserBase(), from: exec.MapValue(info.Handle, 0)}
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
