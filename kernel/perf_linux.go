package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// perfRing is the size of each CPU's ring of a perf event array, in bytes: a power of two
// of pages.
const perfRing = 1 << 20

// perfReader reads a perf event array: a ring for each CPU, whose records it gives in the
// order of their times.
type perfReader struct {
	mu    sync.Mutex // held by read; protects following
	array *ebpf.Map  // which forgets the rings when its last handle is closed
	rings []*cpuRing
	merger
	ended bool // a flush was asked for: the round that follows is the last
	lost  uint64

	wake   *os.File // an eventfd: a flush is asked for, or the end
	wakeFD int
}

func newPerfReader(m *ebpf.Map) (_ reader, err error) {
	p := new(perfReader)
	if p.wakeFD, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	p.wake = os.NewFile(uintptr(p.wakeFD), "eventfd")
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	if p.array, err = m.Clone(); err != nil {
		return nil, err
	}
	for cpu := range int(m.MaxEntries()) {
		ring, err := newCPURing(cpu)
		if errors.Is(err, unix.ENODEV) {
			continue // it is offline
		}
		if err != nil {
			return nil, fmt.Errorf("ring of CPU %d: %w", cpu, err)
		}
		if err := p.array.Put(uint32(cpu), uint32(ring.fd)); err != nil {
			return nil, errors.Join(fmt.Errorf("ring of CPU %d: %w", cpu, err), ring.close())
		}
		p.rings = append(p.rings, ring)
	}
	return p, nil
}

func (p *perfReader) read(out *Record) (lost uint64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.take(out) {
		if p.rings == nil {
			return 0, os.ErrClosed
		}
		if !p.waits() {
			if p.ended {
				p.ended = false
				return 0, errFlushed
			}
			if err := p.wait(); err != nil {
				return 0, err
			}
		}
		if err := p.round(); err != nil {
			return 0, err
		}
		if p.lost > 0 {
			lost, p.lost = p.lost, 0
			return lost, nil
		}
	}
	return 0, nil
}

// wait waits until there are records in a ring, or a flush is asked for.
func (p *perfReader) wait() error {
	fds := []unix.PollFd{{Fd: int32(p.wakeFD), Events: unix.POLLIN}}
	for _, r := range p.rings {
		fds = append(fds, unix.PollFd{Fd: int32(r.fd), Events: unix.POLLIN})
	}
	for {
		_, err := unix.Poll(fds, -1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("poll: %w", err)
		}
		break
	}
	if fds[0].Revents != 0 {
		p.ended = true
		var count [8]byte
		if _, err := p.wake.Read(count[:]); err != nil {
			return err
		}
	}
	return nil
}

// round takes what is in all rings.
func (p *perfReader) round() error {
	p.begin()
	for _, r := range p.rings {
		lost, err := r.drain(&p.merger)
		if err != nil {
			return fmt.Errorf("ring of CPU %d: %w", r.cpu, err)
		}
		p.lost += lost
	}
	p.end(p.ended)
	return nil
}

// Flush has read give what there is, and then say so.
func (p *perfReader) Flush() error {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, err := p.wake.Write(one[:])
	return err
}

// Close ends read, and gives everything back.
func (p *perfReader) Close() error {
	err := p.Flush()
	p.mu.Lock()
	defer p.mu.Unlock()
	errs := make([]error, len(p.rings))
	var all sync.WaitGroup
	for i, r := range p.rings {
		all.Go(func() { errs[i] = errors.Join(p.array.Delete(uint32(r.cpu)), r.close()) }) // each waits for the kernel
	}
	all.Wait()
	p.rings = nil
	return errors.Join(append(errs, err, p.array.Close(), p.wake.Close())...)
}

// cpuRing is the ring into which one CPU writes.
type cpuRing struct {
	cpu, fd int
	mem     []byte // a page of meta, then the ring
	meta    *unix.PerfEventMmapPage
	data    []byte
}

func newCPURing(cpu int) (*cpuRing, error) {
	attr := unix.PerfEventAttr{
		Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_BPF_OUTPUT,
		Size:        uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
		Sample_type: unix.PERF_SAMPLE_TIME | unix.PERF_SAMPLE_RAW,
		Bits:        unix.PerfBitUseClockID, Clockid: unix.CLOCK_MONOTONIC, // the same for all CPUs
		Sample: 1, Wakeup: 1,
	}
	fd, err := unix.PerfEventOpen(&attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("perf_event_open: %w", err)
	}
	page := os.Getpagesize()
	mem, err := unix.Mmap(fd, 0, page+perfRing, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("map its memory: %w", err), unix.Close(fd))
	}
	return &cpuRing{cpu, fd, mem, (*unix.PerfEventMmapPage)(unsafe.Pointer(&mem[0])), mem[page:]}, nil
}

// Sizes of a record's parts, in bytes.
const (
	recordHeader = 8  // type u32, misc u16, size u16
	sampleHeader = 12 // time u64, size u32, and then the data
	lostRecord   = 16 // id u64, count u64
)

// drain gives the records that there are to a merger, and how many were lost before them.
func (r *cpuRing) drain(m *merger) (lost uint64, err error) {
	head := atomic.LoadUint64(&r.meta.Data_head)
	tail := atomic.LoadUint64(&r.meta.Data_tail)
	var buf [sampleHeader + 4]byte
	for tail < head {
		r.copy(buf[:recordHeader], tail)
		kind := binary.NativeEndian.Uint32(buf[:])
		size := uint64(binary.NativeEndian.Uint16(buf[6:]))
		if size < recordHeader || size > head-tail {
			return lost, fmt.Errorf("a record of %d bytes where there are %d", size, head-tail)
		}
		body := tail + recordHeader
		switch {
		case kind == unix.PERF_RECORD_SAMPLE && size >= recordHeader+sampleHeader:
			r.copy(buf[:sampleHeader], body)
			n := uint64(binary.NativeEndian.Uint32(buf[8:]))
			if n > size-recordHeader-sampleHeader {
				return lost, fmt.Errorf("a sample of %d bytes in a record of %d", n, size)
			}
			r.copy(m.room(int64(binary.NativeEndian.Uint64(buf[:])), r.cpu, int(n)), body+sampleHeader)
		case kind == unix.PERF_RECORD_LOST && size >= recordHeader+lostRecord:
			r.copy(buf[:lostRecord], body)
			lost += binary.NativeEndian.Uint64(buf[8:])
		}
		tail += size
	}
	atomic.StoreUint64(&r.meta.Data_tail, tail)
	return lost, nil
}

// copy copies from a position in the ring, which goes on at its beginning.
func (r *cpuRing) copy(to []byte, at uint64) {
	from := r.data[at%uint64(len(r.data)):]
	if n := copy(to, from); n < len(to) {
		copy(to[n:], r.data)
	}
}

func (r *cpuRing) close() error {
	return errors.Join(unix.Munmap(r.mem), unix.Close(r.fd))
}
