package maps

import (
	"sync"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
)

// queue is BPF_MAP_TYPE_QUEUE and BPF_MAP_TYPE_STACK: values in a ring of
// max_entries slots. A queue gives the oldest value first, a stack the newest.
type queue struct {
	common
	stack  bool
	stride uintptr

	mu     sync.Mutex
	oldest uint32 // slot of the oldest value; protected by mu
	n      uint32 // values in the ring; protected by mu
}

func newQueue(info Info) (Map, error) {
	q := &queue{stack: info.Type == ebpf.Stack, stride: uintptr(roundUp(uint64(info.ValueSize), 8))}
	q.init(info, q)
	return q, q.reserve(uint64(info.MaxEntries) * uint64(q.stride))
}

// slot is the memory of the i-th value, from the oldest.
func (q *queue) slot(i uint32) []byte {
	at := (uint64(q.oldest) + uint64(i)) % uint64(q.info.MaxEntries)
	return mem.View(q.mem.Addr()+uintptr(at)*q.stride, int(q.info.ValueSize))
}

// Push implements Keyless.
func (q *queue) Push(value []byte, flags uint64) error {
	if flags != UpdateAny && flags != UpdateExist {
		return errno.EINVAL
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.n == q.info.MaxEntries {
		if flags != UpdateExist {
			return errno.E2BIG
		}
		q.drop()
	}
	copy(q.slot(q.n), value)
	q.n++
	return nil
}

// drop takes the oldest value out.
func (q *queue) drop() {
	q.oldest = uint32((uint64(q.oldest) + 1) % uint64(q.info.MaxEntries))
	q.n--
}

// Pop implements Keyless. An empty map gives a zeroed value, too.
func (q *queue) Pop(value []byte) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := q.peek(value); err != nil {
		return err
	}
	if q.stack {
		q.n--
	} else {
		q.drop()
	}
	return nil
}

// Peek implements Keyless. An empty map gives a zeroed value, too.
func (q *queue) Peek(value []byte) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.peek(value)
}

func (q *queue) peek(value []byte) error {
	if q.n == 0 {
		clear(value)
		return errno.ENOENT
	}
	next := uint32(0)
	if q.stack {
		next = q.n - 1
	}
	copy(value, q.slot(next))
	return nil
}

// Update implements Map: programs push instead.
func (q *queue) Update(int, []byte, []byte, uint64) error { return errno.EINVAL }

// Delete implements Map: programs pop instead.
func (q *queue) Delete([]byte) error { return errno.EINVAL }

func (q *queue) userLookup(_, value []byte, _ uint64) error { return q.Peek(value) }

func (q *queue) userUpdate(_, value []byte, flags uint64) error { return q.Push(value, flags) }

func (q *queue) userDelete([]byte) error { return errno.EINVAL }

func (q *queue) userTake(_, value []byte, flags uint64) error {
	if flags != 0 {
		return errno.EINVAL
	}
	return q.Pop(value)
}

func (q *queue) nextKey([]byte, []byte) error { return errno.EINVAL }
