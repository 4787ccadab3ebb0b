package maps

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
)

// UserRingbuf is BPF_MAP_TYPE_USER_RINGBUF: records from user space, in the order
// in which they were reserved, for programs, one of which drains it at a time.
//
// A record begins on a multiple of 8 bytes with its length (u32), with a bit while
// it is busy and a bit if it is discarded, and 4 bytes that say nothing. The memory
// is twice as long as the ring, so that a record is in one piece.
type UserRingbuf struct {
	common
	data uintptr
	mask uint64

	mu       sync.Mutex
	producer atomic.Uint64 // end of the newest record; written under mu
	consumer atomic.Uint64 // beginning of the oldest record that is not consumed
	busy     atomic.Bool   // a program drains
	wake     chan struct{}
}

// MaxDrain is how many records one bpf_user_ringbuf_drain takes.
const MaxDrain = 128 << 10

func newUserRingbuf(info Info) (Map, error) {
	r := &UserRingbuf{mask: uint64(info.MaxEntries) - 1, wake: make(chan struct{}, 1)}
	r.init(info, r)
	if err := r.reserve(2 * uint64(info.MaxEntries)); err != nil {
		return nil, err
	}
	r.data = r.mem.Addr()
	return r, nil
}

func (r *UserRingbuf) at(position uint64) uintptr { return r.data + uintptr(position&r.mask) }

// Reserve gives size bytes of the ring, which are the caller's until Submit or
// Discard: E2BIG where the ring is too small, ENOSPC while it is full.
func (r *UserRingbuf) Reserve(size int) ([]byte, error) {
	length := roundUp(uint64(size)+recordHeader, 8)
	if size < 0 || size > maxRecord || length > r.mask+1 {
		return nil, errno.E2BIG
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	start := r.producer.Load()
	if start+length-r.consumer.Load() > r.mask+1 {
		return nil, errno.ENOSPC
	}
	at := r.at(start)
	storeU32(at+4, 0)
	storeU32(at, uint32(size)|recordBusy)
	r.producer.Store(start + length)
	return mem.View(at+recordHeader, size+1)[:size], nil // not empty: it has an address
}

// Submit makes a record that Reserve gave visible to programs.
func (r *UserRingbuf) Submit(record []byte) { r.commit(record, 0) }

// Discard makes programs pass over a record.
func (r *UserRingbuf) Discard(record []byte) { r.commit(record, recordDiscarded) }

func (r *UserRingbuf) commit(record []byte, bit uint32) {
	at := addressOf(record) - recordHeader
	storeU32(at, uint32(len(record))|bit)
}

// Wait waits until a program has taken records out.
func (r *UserRingbuf) Wait(ctx context.Context) error {
	select {
	case <-r.wake:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Drain is bpf_user_ringbuf_drain: it hands records to take, oldest first, until
// that says no, there are none, or it has handed out MaxDrain; and gives their
// number. EBUSY while another program drains.
func (r *UserRingbuf) Drain(flags uint64, take func(addr uintptr, size uint32) bool) (int, error) {
	if flags&^(RingbufNoWakeup|RingbufForceWakeup) != 0 {
		return 0, errno.EINVAL
	}
	if !r.busy.CompareAndSwap(false, true) {
		return 0, errno.EBUSY
	}
	defer r.busy.Store(false)
	n, discarded := 0, false
	for more := true; more && n < MaxDrain; {
		at := r.consumer.Load()
		if at == r.producer.Load() {
			break
		}
		header := loadU32(r.at(at))
		if header&recordBusy != 0 {
			break
		}
		if header&recordDiscarded == 0 {
			more = take(r.at(at)+recordHeader, header)
			n++
		} else {
			discarded = true
		}
		r.consumer.Store(at + recordLen(header))
	}
	if flags&RingbufForceWakeup != 0 || (n > 0 || discarded) && flags&RingbufNoWakeup == 0 {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
	return n, nil
}
