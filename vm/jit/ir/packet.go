package ir

import (
	"unsafe"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
)

// Where the context has the packet's first byte and its length.
const (
	packetData = int(unsafe.Offsetof(exec.PacketPointers{}.Data))
	packetLen  = int(unsafe.Offsetof(exec.PacketPointers{}.Len))
)

// maxInlineLoad is the longest piece of a packet that is copied without Go, in bytes.
const maxInlineLoad = 64

// skbLoadBytes is bpf_skb_load_bytes of a known number of bytes. The helper is asked
// where the packet is too short.
func (e *expander) skbLoadBytes(s site) {
	n, _ := s.number(4)
	short, next := e.block(), e.block()
	e.offset32(2)
	e.imm(Add, 4, 2, uint64(n))
	e.load(Load, 0, 1, packetLen, 4)
	e.branch(Cold, Ugt, 4, 0, 0, short)
	e.load(Load, 1, 1, packetData, 8)
	e.op(Add, 1, 1, 2)
	e.copyBytes(3, 1, 0, int(n))
	e.constant(0, 0)
	e.jump(next)
	e.beginCold(short)
	e.constant(4, uint64(n))
	e.copy(*s.call)
	e.jump(next)
	e.begin(next)
	e.run(s.rest, s.succ)
}

// skbPullData is bpf_skb_pull_data: the packet lies in one piece.
func (e *expander) skbPullData(s site) {
	long, next := e.block(), e.block()
	e.offset32(2)
	e.load(Load, 0, 1, packetLen, 4)
	e.branch(Cold, Ugt, 2, 0, 0, long)
	e.constant(0, 0)
	e.jump(next)
	e.fail(long, errno.ENOMEM.Ret(), next)
	e.begin(next)
	e.run(s.rest, s.succ)
}

// offset32 leaves of a variable what a helper takes as 32 bits.
func (b *builder) offset32(v Var) {
	b.add(Ins{Op: Zext, Size: 8, Width: 4, Dst: v, A: v, B: None, C: None})
}
