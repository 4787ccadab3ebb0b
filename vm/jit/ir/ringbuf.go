package ir

import (
	"slices"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/helper"
	"github.com/skep-ebpf/skep/vm/jit/abi"
	"github.com/skep-ebpf/skep/vm/maps"
)

// A record that native code has reserved stands in the context until it is
// submitted. There is room for one: another one is for Go. Go takes the one that stands
// there over when it needs to know of it.

// maxInlineRecord is the longest record that is copied without Go, in bytes.
const maxInlineRecord = 128

// ring is the ring buffer that a helper is called with, nil where it is not known.
func (e *expander) ring(i *Ins) *maps.Ringbuf {
	r, _ := e.mapOf(i).(*maps.Ringbuf)
	return r
}

// ringbufReserve is bpf_ringbuf_reserve with the size in R2 and flags in R3.
func (e *expander) ringbufReserve(s site) {
	r := e.ring(s.call)
	none, full, ask, reserved := e.block(), e.block(), e.block(), e.block()
	e.branch(Cold, Ne, 3, None, 0, none)
	e.branch(Cold, Ugt, 2, None, r.Longest(), none)
	e.op(Context, 3, None, None)
	e.load(Load, 0, 3, int(abi.OffRecord), 8)
	e.branch(Cold, Ne, 0, None, 0, ask)
	e.reserve(r, 2, 4, 5, full, ask)
	e.imm(Add, 0, 0, maps.RecordHeader)
	e.store(3, int(abi.OffRecord), 0, 8)
	e.store(3, int(abi.OffRing), 1, 8)
	e.jump(reserved)

	e.beginCold(ask)
	e.constant(1, uint64(r.Info().Handle))
	e.constant(3, 0)
	e.copy(*s.call)
	e.branch(0, Eq, 0, None, 0, none)
	e.jump(reserved)
	e.beginCold(full)
	e.drop(4)
	e.jump(none)
	e.begin(reserved)
	e.found(none, func() {}, s)
}

// reserve makes R0 the address of the header of a record, with the size that a
// variable has, and R1 that of the ring's control. It goes to the block full, with the
// lock still held, where there is no room, and to ask where another producer is at
// work.
func (e *expander) reserve(r *maps.Ringbuf, size, a, b Var, full, ask int32) {
	mask := r.Info().MaxEntries - 1
	e.constant(1, uint64(r.Control()))
	e.constant(a, 1)
	e.constant(0, 0)
	e.add(Ins{Op: Cmpxchg, Width: 4, Dst: 0, A: 1, B: 0, C: a, Off: int32(maps.RingLock)})
	e.branch(Cold, Ne, 0, None, 0, ask)
	e.imm(Add, b, size, maps.RecordHeader+7)
	e.imm(And, b, b, ^uint64(7))
	e.load(Load, a, 1, int(maps.RingProducer), 8)
	e.op(Add, b, b, a)
	e.load(LoadAcquire, 0, 1, int(maps.RingConsumer), 8)
	e.op(Sub, 0, b, 0)
	e.branch(Cold, Ugt, 0, None, uint64(mask), full)
	e.imm(And, 0, a, uint64(mask))
	e.imm(Add, 0, 0, uint64(r.Data()))
	e.imm4(Or, a, size, maps.RecordBusy)
	e.store(0, 0, a, 4)
	e.constant(a, uint64(r.Info().Handle))
	e.store(0, 4, a, 4)
	e.release(1, int(maps.RingProducer), b, 8)
	e.unlock(a)
}

// unlock releases the lock of the ring whose control is at R1.
func (e *expander) unlock(temp Var) {
	e.constant(temp, 0)
	e.release(1, int(maps.RingLock), temp, 4)
}

// drop counts a record that found no room, and releases the lock.
func (e *expander) drop(temp Var) {
	e.load(Load, temp, 1, int(maps.RingDropped), 8)
	e.imm(Add, temp, temp, 1)
	e.release(1, int(maps.RingDropped), temp, 8)
	e.unlock(temp)
}

// ringbufSubmit and ringbufDiscard are the helpers of these names, with the record in
// R1 and flags in R2.
func (e *expander) ringbufSubmit(s site)  { e.giveBack(s, 0) }
func (e *expander) ringbufDiscard(s site) { e.giveBack(s, maps.RecordDiscarded) }

func (e *expander) giveBack(s site, mark uint32) {
	ask, next := e.block(), e.block()
	e.op(Context, 3, None, None)
	e.load(Load, 0, 3, int(abi.OffRecord), 8)
	e.branch(Cold, Ne, 0, 1, 0, ask)
	e.constant(0, 0)
	e.store(3, int(abi.OffRecord), 0, 8)
	e.load(Load, 3, 3, int(abi.OffRing), 8)
	e.imm(Sub, 1, 1, maps.RecordHeader)
	e.load(Load, 0, 1, 4, 4) // the handle
	e.load(Load, 4, 1, 0, 4)
	e.imm4(And, 4, 4, ^uint32(maps.RecordBusy))
	e.imm4(Or, 4, 4, mark)
	e.commit(1, 3, 2, 0, next)
	e.beginCold(ask)
	e.copy(*s.call)
	e.jump(next)
	e.begin(next)
	e.run(s.rest, s.succ)
}

// commit writes what R4 has into the header of a record, and goes to the block next;
// on its way it wakes the reader if flags and the ring, whose control is at an address,
// say so. R5 is a temporary.
//
// The exchange is done before what follows is read: a reader that does not see the
// record yet has said so before.
func (e *expander) commit(header, control, flags, handle Var, next int32) {
	wake := e.block()
	e.add(Ins{Op: Xchg, Width: 4, Dst: 4, A: header, B: None, C: 4})
	e.branch(Cold, TestSet, flags, None, maps.RingbufForceWakeup, wake)
	e.branch(0, TestSet, flags, None, maps.RingbufNoWakeup, next)
	e.load(LoadAcquire, 4, control, int(maps.RingConsumer), 8)
	e.load(Load, 5, control, int(maps.RingMask), 8)
	e.op(And, 4, 4, 5)
	e.load(Load, 5, control, int(maps.RingData), 8)
	e.op(Add, 4, 4, 5)
	e.branch(0, Ne, 4, header, 0, next)
	e.load(LoadAcquire, 4, control, int(maps.RingSignalled), 4)
	e.branch(0, Ne, 4, None, 0, next)
	e.jump(wake)
	e.beginCold(wake)
	e.mov(1, handle)
	e.add(Ins{Op: Helper, Dst: 0, A: None, B: None, C: None, N: 1, Imm: e.wake()})
	e.jump(next)
}

// wake is the index of the helper that wakes a ring's reader.
func (e *expander) wake() int64 {
	if i := slices.Index(e.calls.Helpers, helper.RingbufWake); i >= 0 {
		return int64(i)
	}
	e.calls.Helpers = append(e.calls.Helpers, helper.RingbufWake)
	return int64(len(e.calls.Helpers) - 1)
}

// ringbufOutput is bpf_ringbuf_output of data at R2, whose size in R3 is known, with
// flags in R4.
func (e *expander) ringbufOutput(s site) {
	r := e.ring(s.call)
	size, _ := s.number(3)
	ask, full, next, done := e.block(), e.block(), e.block(), e.block()
	e.branch(Cold, Ugt, 4, None, maps.RingbufNoWakeup|maps.RingbufForceWakeup, ask)
	flags, temp := e.kept[0], e.kept[1]
	e.mov(flags, 4)
	e.reserve(r, 3, 5, temp, full, ask)
	e.imm(Add, 3, 0, maps.RecordHeader)
	e.copyBytes(3, 2, 5, int(size))
	e.constant(4, uint64(size))
	e.constant(2, uint64(r.Info().Handle))
	e.mov(3, 0)
	e.commit(3, 1, flags, 2, done)
	e.begin(done)
	e.constant(0, 0)
	e.jump(next)

	e.beginCold(full)
	e.drop(4)
	e.constant(0, errno.EAGAIN.Ret())
	e.jump(next)
	e.beginCold(ask)
	e.constant(1, uint64(r.Info().Handle))
	e.copy(*s.call)
	e.jump(next)
	e.begin(next)
	e.run(s.rest, s.succ)
}
