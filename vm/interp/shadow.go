package interp

import (
	"math/bits"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/exec"
)

// Checked mode knows of each 8-byte word on the stacks where it came from, so
// that a pointer that is spilled and filled again stays one.

const frameWords = isa.StackSize / 8

// spill notes what an 8-byte store did; at counts from the first frame's start.
func (m *machine) spill(at uintptr, from exec.Prov) {
	if at%8 != 0 {
		m.forget(at, 8)
		return
	}
	m.shadow[at/8%uintptr(len(m.shadow))] = from
	m.soil(at / isa.StackSize)
}

// spilled is where the 8 bytes at an address came from, which is a multiple of 8.
func (m *machine) spilled(a uintptr) exec.Prov {
	if at := a - m.state.Stack(); at < stackBytes {
		return m.shadow[at/8]
	}
	return 0
}

// forget notes that n bytes, at most 8, were overwritten by numbers.
func (m *machine) forget(at, n uintptr) {
	m.shadow[at/8%uintptr(len(m.shadow))] = 0
	m.shadow[(at+n-1)/8%uintptr(len(m.shadow))] = 0
	m.soil(at / isa.StackSize)
}

// soil notes that a frame was written to.
func (m *machine) soil(frame uintptr) {
	m.dirty[frame/64%uintptr(len(m.dirty))] |= 1 << (frame % 64)
}

// soilAll notes that any frame may have been written to, as in fast mode.
func (m *machine) soilAll() {
	for i := range m.dirty {
		m.dirty[i] = ^uint64(0)
	}
}

// written notes that a helper wrote n bytes at an address.
func (m *machine) written(a, n uintptr) {
	at := a - m.state.Stack()
	if at >= stackBytes || n == 0 {
		return
	}
	last := min(at+n-1, stackBytes-1)
	clear(m.shadow[at/8 : last/8+1])
	for frame := at / isa.StackSize; frame <= last/isa.StackSize; frame++ {
		m.soil(frame)
	}
}

// clean zeroes a frame's stack.
func (m *machine) clean(frame int) {
	if m.dirty[frame/64]&(1<<(frame%64)) == 0 {
		return
	}
	m.dirty[frame/64] &^= 1 << (frame % 64)
	clear(m.shadow[frame*frameWords : (frame+1)*frameWords])
	clear(mem.View(m.state.Stack()+uintptr(frame)*isa.StackSize, isa.StackSize))
}

// zero zeroes words of the current frame, as Fact.Uninit has them, in the fast loop.
func (m *machine) zero(words uint64) {
	for ; words != 0; words &= words - 1 {
		*(*uint64)(mem.At(uintptr(m.reg[isa.R10]) - 8*uintptr(bits.TrailingZeros64(words)+1))) = 0
	}
}

// packetMoved makes every pointer into the packet stale. The instruction that
// moved it is noted for the person who reads the fault.
func (m *machine) packetMoved(insn int) {
	stale := func(all []exec.Prov) {
		for i, p := range all {
			switch p.Region() {
			case exec.RegionPacket, exec.RegionMeta, exec.RegionPacketEnd:
				all[i] = exec.Make(exec.RegionStale, uint32(insn))
			}
		}
	}
	stale(m.prov[:])
	for i := 0; i <= m.depth; i++ {
		stale(m.frames[i].prov[:])
		if m.dirty[i/64]&(1<<(i%64)) != 0 {
			stale(m.shadow[i*frameWords : (i+1)*frameWords])
		}
	}
}
