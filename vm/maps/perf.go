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

// Attached reports whether a reader's ring lies at an index.
func (p *PerfEventArray) Attached(index uint64) bool { return p.ring(index) != nil }

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
	wake chan struct{}
	opts PerfOptions

	mu   sync.Mutex
	buf  []byte
	head uint64 // end of the newest record, in bytes since the beginning
	tail uint64 // beginning of the oldest
	lost uint32 // samples lost since the newest record
	// begins are where the records begin, the oldest first, if they may be
	// overwritten: then the newest is read first.
	begins []uint64
	// waiting and from count what the reader was not woken for: records, and bytes
	// from a position on. ready says that it was woken and has not read all.
	waiting int
	from    uint64
	ready   bool
}

const perfHeader = 8

func (r *perfRing) put(data, payload []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	size := uint64(len(data) + len(payload))
	if !r.makeRoom(roundUp(perfHeader+size, 8)) {
		r.lost++
		r.signal()
		return errno.ENOSPC
	}
	if r.opts.Overwritable {
		r.begins = append(r.begins, r.head)
	}
	var header [perfHeader]byte
	binary.NativeEndian.PutUint32(header[:], uint32(size))
	binary.NativeEndian.PutUint32(header[4:], r.lost)
	r.lost = 0
	r.write(header[:])
	r.write(data)
	r.write(payload)
	r.head = roundUp(r.head, 8)
	r.waiting++
	if r.waiting >= r.opts.WakeupEvents && r.head-r.from >= uint64(r.opts.Watermark) {
		r.signal()
	}
	return nil
}

// makeRoom reports whether n bytes have room, if need be by forgetting what is
// oldest.
func (r *perfRing) makeRoom(n uint64) bool {
	if n > uint64(len(r.buf)) {
		return false
	}
	for r.head-r.tail+n > uint64(len(r.buf)) {
		if !r.opts.Overwritable {
			return false
		}
		r.begins = r.begins[1:]
		r.tail = r.head
		if len(r.begins) > 0 {
			r.tail = r.begins[0]
		}
	}
	return true
}

func (r *perfRing) signal() {
	r.ready, r.waiting, r.from = true, 0, r.head
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

// next gives a count of lost samples, or a sample, appended to buf: the oldest,
// or the newest where records may be overwritten. false where there is nothing,
// or nothing that the reader was woken for, which all includes.
func (r *perfRing) next(buf []byte, all bool) (rec PerfRecord, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !all && !r.ready {
		return rec, false
	}
	if r.head == r.tail {
		r.ready = false
		rec.Lost, r.lost = uint64(r.lost), 0
		return rec, rec.Lost != 0
	}
	begin := r.tail
	if r.opts.Overwritable {
		begin = r.begins[len(r.begins)-1]
	}
	at := begin % uint64(len(r.buf)) // a header is in one piece
	header := r.buf[at : at+perfHeader]
	if lost := u32(header[4:]); lost != 0 {
		rec.Lost = uint64(lost)
		putU32(header[4:], 0)
	} else {
		size := uint64(u32(header))
		rec.Sample = r.read(buf, begin+perfHeader, size)
		if r.opts.Overwritable {
			r.begins = r.begins[:len(r.begins)-1]
			r.head = begin
		} else {
			r.tail += roundUp(perfHeader+size, 8)
		}
	}
	rec.Remaining = int(r.head - r.tail)
	return rec, true
}

// PerfOptions say when a reader is woken, and what a full ring does.
type PerfOptions struct {
	WakeupEvents int  // wake after so many samples on a CPU; 0: each
	Watermark    int  // wake after so many bytes on a CPU; 0: each
	Overwritable bool // forget the oldest sample for a new one
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
func (p *PerfEventArray) Open(size int, opts PerfOptions) (*PerfReader, error) {
	if size <= 0 || size%8 != 0 {
		return nil, refuse(errno.EINVAL, "a ring of %d bytes: the size must be a positive multiple of 8", size)
	}
	r := &PerfReader{array: p, wake: make(chan struct{}, 1)}
	for cpu := range p.rings {
		ring := &perfRing{wake: r.wake, opts: opts, buf: make([]byte, size)}
		r.rings = append(r.rings, ring)
		p.rings[cpu].Store(ring)
	}
	return r, nil
}

// Next takes the next record of any CPU in turn, its sample appended to buf;
// false where there is none that the reader was woken for. all includes others.
func (r *PerfReader) Next(buf []byte, all bool) (PerfRecord, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for range r.rings {
		cpu := r.cpu
		r.cpu = (cpu + 1) % len(r.rings)
		if rec, ok := r.rings[cpu].next(buf, all); ok {
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

// Pause detaches the rings: programs get ENOENT.
func (r *PerfReader) Pause() {
	for cpu, ring := range r.rings {
		r.array.rings[cpu].CompareAndSwap(ring, nil)
	}
}

// Resume attaches the rings again, in place of another reader's.
func (r *PerfReader) Resume() {
	for cpu, ring := range r.rings {
		r.array.rings[cpu].Store(ring)
	}
}
