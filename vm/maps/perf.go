package maps

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/skep-ebpf/skep/internal/errno"
)

// Parts of the flags of bpf_perf_event_output.
const (
	PerfIndexMask  = 1<<32 - 1
	PerfCurrentCPU = 1<<32 - 1
)

// PerfEventArray is BPF_MAP_TYPE_PERF_EVENT_ARRAY: index i is for the ring that
// takes CPU i's samples, once a reader is there.
type PerfEventArray struct {
	common
	rings []atomic.Pointer[perfRing]
}

func newPerfEventArray(info Info) (Map, error) {
	p := &PerfEventArray{rings: make([]atomic.Pointer[perfRing], min(int64(info.MaxEntries), int64(info.CPUs)))}
	p.init(info, p)
	return p, nil
}

// Output is bpf_perf_event_output on a CPU: the sample is data and behind it
// payload. The index is in the lower half of flags; the upper half is the
// helper's business.
//
// E2BIG is for an index beyond the map, ENOENT where no reader is attached,
// EOPNOTSUPP for another CPU's ring, ENOSPC where the ring is full, which is
// counted.
func (p *PerfEventArray) Output(cpu int, flags uint64, data, payload []byte) error {
	index := flags & PerfIndexMask
	if index == PerfCurrentCPU {
		index = uint64(cpu)
	}
	if index >= uint64(p.info.MaxEntries) {
		return errno.E2BIG
	}
	ring := p.ring(index)
	switch {
	case ring == nil:
		return errno.ENOENT
	case index != uint64(cpu):
		return errno.EOPNOTSUPP
	}
	return ring.put(data, payload)
}

func (p *PerfEventArray) ring(index uint64) *perfRing {
	if index >= uint64(len(p.rings)) {
		return nil
	}
	return p.rings[index].Load()
}

// userDelete detaches a reader from an index.
func (p *PerfEventArray) userDelete(key []byte) error {
	i := u32(key)
	if i >= p.info.MaxEntries {
		return errno.E2BIG
	}
	if p.ring(uint64(i)) == nil || p.rings[i].Swap(nil) == nil {
		return errno.ENOENT
	}
	return nil
}

func (p *PerfEventArray) userLookup(key, _ []byte, _ uint64) error { return errno.ENOTSUPP }

// userUpdate refuses every number, as none stands for a reader: see Open.
func (p *PerfEventArray) userUpdate(key, _ []byte, flags uint64) error {
	switch {
	case flags != UpdateAny:
		return errno.EINVAL
	case u32(key) >= p.info.MaxEntries:
		return errno.E2BIG
	}
	return errno.EBADF
}

func (p *PerfEventArray) nextKey(key, next []byte) error {
	return nextIndex(key, next, p.info.MaxEntries)
}

// perfRing is one CPU's samples: records of length (u32), samples lost before it
// (u32), and the sample, rounded up to 8 bytes.
type perfRing struct {
	wake chan<- struct{}

	mu   sync.Mutex
	buf  []byte
	head uint64 // end of the newest record, in bytes since the beginning
	tail uint64 // beginning of the oldest
	lost uint32 // samples lost since the newest record
}

const perfHeader = 8

func (r *perfRing) put(data, payload []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	size := uint64(len(data) + len(payload))
	if r.head-r.tail+roundUp(perfHeader+size, 8) > uint64(len(r.buf)) {
		r.lost++
		r.signal()
		return errno.ENOSPC
	}
	var header [perfHeader]byte
	binary.NativeEndian.PutUint32(header[:], uint32(size))
	binary.NativeEndian.PutUint32(header[4:], r.lost)
	r.lost = 0
	r.write(header[:])
	r.write(data)
	r.write(payload)
	r.head = roundUp(r.head, 8)
	r.signal()
	return nil
}

func (r *perfRing) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// write appends bytes, which have room.
func (r *perfRing) write(b []byte) {
	n := copy(r.buf[r.head%uint64(len(r.buf)):], b)
	copy(r.buf, b[n:])
	r.head += uint64(len(b))
}

// read appends n bytes from a position to buf.
func (r *perfRing) read(buf []byte, from, n uint64) []byte {
	at := from % uint64(len(r.buf))
	first := min(n, uint64(len(r.buf))-at)
	buf = append(buf, r.buf[at:at+first]...)
	return append(buf, r.buf[:n-first]...)
}

// next gives what is oldest: a count of lost samples, or a sample, appended to
// buf. false where there is nothing.
func (r *perfRing) next(buf []byte) (rec PerfRecord, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.head == r.tail {
		rec.Lost, r.lost = uint64(r.lost), 0
		return rec, rec.Lost != 0
	}
	at := r.tail % uint64(len(r.buf)) // a header is in one piece
	header := r.buf[at : at+perfHeader]
	if lost := u32(header[4:]); lost != 0 {
		rec.Lost = uint64(lost)
		putU32(header[4:], 0)
	} else {
		size := uint64(u32(header))
		rec.Sample = r.read(buf, r.tail+perfHeader, size)
		r.tail += roundUp(perfHeader+size, 8)
	}
	rec.Remaining = int(r.head - r.tail)
	return rec, true
}

// PerfReader takes the samples of all CPUs out of a PerfEventArray.
type PerfReader struct {
	array *PerfEventArray
	rings []*perfRing
	wake  chan struct{}

	mu  sync.Mutex
	cpu int // whose turn it is; protected by mu
}

// PerfRecord is one sample, or a count of samples that were lost there.
type PerfRecord struct {
	CPU       int
	Sample    []byte
	Lost      uint64
	Remaining int // bytes that wait in this CPU's ring after it
}

// Open attaches a ring of size bytes (a multiple of 8) to every CPU, in place of
// an earlier reader's.
func (p *PerfEventArray) Open(size int) (*PerfReader, error) {
	if size <= 0 || size%8 != 0 {
		return nil, refuse(errno.EINVAL, "a ring of %d bytes: the size must be a positive multiple of 8", size)
	}
	r := &PerfReader{array: p, wake: make(chan struct{}, 1)}
	for cpu := range p.rings {
		ring := &perfRing{wake: r.wake, buf: make([]byte, size)}
		r.rings = append(r.rings, ring)
		p.rings[cpu].Store(ring)
	}
	return r, nil
}

// Next takes the next record of any CPU in turn, its sample appended to buf;
// false where there is none.
func (r *PerfReader) Next(buf []byte) (PerfRecord, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for range r.rings {
		cpu := r.cpu
		r.cpu = (cpu + 1) % len(r.rings)
		if rec, ok := r.rings[cpu].next(buf); ok {
			rec.CPU = cpu
			return rec, true
		}
	}
	return PerfRecord{}, false
}

// Wait waits for a sample; one that came since the last Wait counts. The reader
// then calls Next until there is nothing left.
func (r *PerfReader) Wait(ctx context.Context) error {
	select {
	case <-r.wake:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close detaches the rings.
func (r *PerfReader) Close() error {
	for cpu, ring := range r.rings {
		r.array.rings[cpu].CompareAndSwap(ring, nil)
	}
	return nil
}
