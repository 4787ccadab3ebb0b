package maps

import (
	"context"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
)

// Flags of Submit, Discard and Output, and what Query gives.
const (
	RingbufNoWakeup    = 1 << 0
	RingbufForceWakeup = 1 << 1

	RingbufAvailData = 0 // bytes that are not consumed yet
	RingbufRingSize  = 1
	RingbufConsPos   = 2
	RingbufProdPos   = 3
)

// Ringbuf is BPF_MAP_TYPE_RINGBUF: records from any number of producers, in the
// order in which they were reserved, for one reader at a time.
//
// A record begins on a multiple of 8 bytes with a header: its length (u32), with
// a bit while it is busy and a bit if it is discarded, and the map's handle
// (u32). Positions count bytes from the map's creation. The memory is twice as
// long as the ring, so that a record that begins before the ring's end is in one
// piece.
type Ringbuf struct {
	common
	*RingControl

	reader sync.Mutex
	wake   chan struct{}
}

// RingControl is what producers and the reader of a ring share, at the beginning of
// its memory, for native code to reserve and submit records as Reserve and commit do.
type RingControl struct {
	lock     uint32 // as spinLock takes it: a producer is reserving
	_        uint32
	producer atomic.Uint64 // end of the newest record; written under lock
	dropped  atomic.Uint64 // written under lock
	data     uintptr
	mask     uint64
	_        [cacheLine - 40]byte

	consumer atomic.Uint64 // beginning of the oldest record that is not consumed
	// signalled is 1 while the reader has been woken and did not begin to read.
	signalled atomic.Uint32
	_         [cacheLine - 12]byte
}

// Offsets into a RingControl.
const (
	RingLock      = unsafe.Offsetof(RingControl{}.lock)
	RingProducer  = unsafe.Offsetof(RingControl{}.producer)
	RingDropped   = unsafe.Offsetof(RingControl{}.dropped)
	RingData      = unsafe.Offsetof(RingControl{}.data)
	RingMask      = unsafe.Offsetof(RingControl{}.mask)
	RingConsumer  = unsafe.Offsetof(RingControl{}.consumer)
	RingSignalled = unsafe.Offsetof(RingControl{}.signalled)
)

const (
	recordBusy      = 1 << 31
	recordDiscarded = 1 << 30
	recordHeader    = 8
	maxRecord       = 1<<30 - 1
)

// What native code needs to know of records, besides.
const (
	RecordBusy      = recordBusy
	RecordDiscarded = recordDiscarded
	RecordHeader    = recordHeader
)

func newRingbuf(info Info) (Map, error) {
	r := &Ringbuf{wake: make(chan struct{}, 1)}
	r.init(info, r)
	if err := r.reserve(pageSize + 2*uint64(info.MaxEntries)); err != nil {
		return nil, err
	}
	r.RingControl = (*RingControl)(mem.At(r.mem.Addr()))
	r.data, r.mask = r.mem.Addr()+pageSize, uint64(info.MaxEntries)-1
	return r, nil
}

// Longest is the size of the longest record.
func (r *Ringbuf) Longest() uint64 { return min(maxRecord, r.mask+1-recordHeader) }

// Data is the address of the ring.
func (r *Ringbuf) Data() uintptr { return r.data }

// Control is the address of the ring's [RingControl].
func (r *Ringbuf) Control() uintptr { return r.mem.Addr() }

// Reserve is bpf_ringbuf_reserve: it gives the address of size bytes, which are
// the caller's until Submit or Discard, or 0 where there is no room.
func (r *Ringbuf) Reserve(size uint64) uintptr {
	if size > r.Longest() {
		return 0
	}
	length := roundUp(size+recordHeader, 8)
	spinLock(r.Control() + RingLock)
	defer spinUnlock(r.Control() + RingLock)
	start := r.producer.Load()
	next := start + length
	if next-r.consumer.Load() > r.mask {
		r.dropped.Add(1)
		return 0
	}
	at := r.data + uintptr(start&r.mask)
	storeU32(at+4, uint32(r.info.Handle))
	storeU32(at, uint32(size)|recordBusy)
	r.producer.Store(next)
	return at + recordHeader
}

// recordLen is how far it is to the next record.
func recordLen(header uint32) uint64 {
	return roundUp(uint64(header&^(recordBusy|recordDiscarded))+recordHeader, 8)
}

// Submit is bpf_ringbuf_submit for a record that Reserve gave.
func (r *Ringbuf) Submit(record uintptr, flags uint64) { r.commit(record, 0, flags) }

// Discard is bpf_ringbuf_discard.
func (r *Ringbuf) Discard(record uintptr, flags uint64) { r.commit(record, recordDiscarded, flags) }

// LengthOf is how many bytes were reserved for a record that is not submitted yet.
func LengthOf(record uintptr) uintptr { return uintptr(loadU32(record-recordHeader) &^ recordBusy) }

// RingbufOf is the ring buffer that a reserved record is in, or nil.
func RingbufOf(record uintptr) *Ringbuf {
	r, _ := Get(Handle(loadU32(record - 4))).(*Ringbuf)
	return r
}

func (r *Ringbuf) commit(record uintptr, bit uint32, flags uint64) {
	at := record - recordHeader
	storeU32(at, loadU32(at)&^recordBusy|bit)
	// A reader that has not caught up finds the record without being woken.
	caughtUp := r.data+uintptr(r.consumer.Load()&r.mask) == at
	if flags&RingbufForceWakeup != 0 || caughtUp && flags&RingbufNoWakeup == 0 {
		r.Signal()
	}
}

// Signal wakes the reader. Whoever finds signalled set need not: the reader reads
// whatever was submitted before it clears that.
func (r *Ringbuf) Signal() {
	if r.signalled.Swap(1) == 0 {
		r.wake <- struct{}{}
	}
}

// Output is bpf_ringbuf_output: EAGAIN where there is no room.
func (r *Ringbuf) Output(data []byte, flags uint64) error {
	if flags&^(RingbufNoWakeup|RingbufForceWakeup) != 0 {
		return errno.EINVAL
	}
	record := r.Reserve(uint64(len(data)))
	if record == 0 {
		return errno.EAGAIN
	}
	copy(mem.View(record, len(data)), data)
	r.Submit(record, flags)
	return nil
}

// Query is bpf_ringbuf_query; 0 for what it does not know.
func (r *Ringbuf) Query(what uint64) uint64 {
	switch what {
	case RingbufAvailData:
		consumer := r.consumer.Load()
		return r.producer.Load() - consumer
	case RingbufRingSize:
		return r.mask + 1
	case RingbufConsPos:
		return r.consumer.Load()
	case RingbufProdPos:
		return r.producer.Load()
	}
	return 0
}

// Dropped counts the records for which there was no room.
func (r *Ringbuf) Dropped() uint64 { return r.dropped.Load() }

// Next appends the oldest record that was submitted to buf and consumes it;
// false where there is none yet. It gives how many bytes then still wait.
func (r *Ringbuf) Next(buf []byte) (record []byte, remaining int, ok bool) {
	r.reader.Lock()
	defer r.reader.Unlock()
	at := r.consumer.Load()
	for at < r.producer.Load() {
		header := loadU32(r.data + uintptr(at&r.mask))
		if header&recordBusy != 0 {
			return buf, 0, false
		}
		discarded := header&recordDiscarded != 0
		if !discarded {
			buf = append(buf, mem.View(r.data+uintptr(at&r.mask)+recordHeader, int(header))...)
		}
		at += recordLen(header)
		r.consumer.Store(at)
		if !discarded {
			return buf, int(r.producer.Load() - at), true
		}
	}
	return buf, 0, false
}

// Wait waits until a producer wakes the reader; a wakeup that came since the
// last Wait counts. The reader then calls Next until there is nothing left.
func (r *Ringbuf) Wait(ctx context.Context) error {
	select {
	case <-r.wake:
		r.signalled.Store(0)
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
