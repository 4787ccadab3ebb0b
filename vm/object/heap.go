package object

import (
	"math/bits"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/maps"
)

// slabBytes is how much memory a slab of small objects has.
const slabBytes = 64 << 10

// An object's number is its slab's number above slotBits, and its place there.
const (
	slotBits = 12
	minSize  = 16 // bytes; slabBytes / minSize places are numbered by slotBits
)

// slab is memory for objects of one size class.
type slab struct {
	number uint32
	base   uintptr
	stride uintptr
	slots  []slot
	block  *mem.Block // keeps the memory
}

// slot is one object's place. refs is 0 where there is none.
type slot struct {
	refs   atomic.Int32
	layout atomic.Pointer[Layout]
}

// heap is all objects of the process. Readers take the tables as they are; they
// only grow.
var heap struct {
	slabs  atomic.Pointer[[]*slab] // by number
	sorted atomic.Pointer[[]*slab] // by address

	mu   sync.Mutex
	free map[uintptr][]uint32 // numbers of free places by size class, oldest first
}

func table(p *atomic.Pointer[[]*slab]) []*slab {
	if t := p.Load(); t != nil {
		return *t
	}
	return nil
}

// Object is a place in the heap.
type Object struct {
	Base   uintptr
	Layout *Layout
	Number uint32 // which object it is, among those that live now
}

// New allocates an object of zeroes that has one reference, and gives its
// address; 0 where Linux has no memory for such an object either.
func New(l *Layout) uintptr {
	if l.CPUs == 0 && l.Size > maxSize {
		return 0
	}
	class := uintptr(1) << bits.Len64(uint64(max(l.bytes(), minSize)-1))
	heap.mu.Lock()
	defer heap.mu.Unlock()
	if len(heap.free[class]) == 0 && !grow(class) {
		return 0
	}
	n := heap.free[class][0]
	heap.free[class] = heap.free[class][1:]
	s := table(&heap.slabs)[n>>slotBits]
	i := n & (1<<slotBits - 1)
	addr := s.base + uintptr(i)*s.stride
	clear(mem.View(addr, int(class)))
	s.slots[i].layout.Store(l)
	s.slots[i].refs.Store(1)
	return addr
}

// grow adds a slab for a size class.
func grow(class uintptr) bool {
	size := max(class, slabBytes)
	block, err := mem.New(uint64(size))
	if err != nil {
		return false
	}
	old := table(&heap.slabs)
	s := &slab{
		number: uint32(len(old)), base: block.Addr(), stride: class,
		slots: make([]slot, size/class), block: block,
	}
	slabs := append(slices.Clip(old), s)
	sorted := slices.Clone(slabs)
	slices.SortFunc(sorted, func(a, b *slab) int {
		if a.base < b.base {
			return -1
		}
		return 1
	})
	heap.slabs.Store(&slabs)
	heap.sorted.Store(&sorted)
	if heap.free == nil {
		heap.free = make(map[uintptr][]uint32)
	}
	for i := range s.slots {
		heap.free[class] = append(heap.free[class], s.number<<slotBits|uint32(i))
	}
	return true
}

// Find gives the living object that an address points into.
func Find(addr uintptr) (Object, bool) {
	sorted := table(&heap.sorted)
	i := sort.Search(len(sorted), func(i int) bool { return sorted[i].base > addr }) - 1
	if i < 0 {
		return Object{}, false
	}
	s := sorted[i]
	at := (addr - s.base) / s.stride
	if at >= uintptr(len(s.slots)) {
		return Object{}, false
	}
	return s.object(uint32(at))
}

// Get gives a living object by its number.
func Get(number uint32) (Object, bool) {
	slabs := table(&heap.slabs)
	if i := number >> slotBits; int(i) < len(slabs) {
		return slabs[i].object(number & (1<<slotBits - 1))
	}
	return Object{}, false
}

func (s *slab) object(i uint32) (Object, bool) {
	if int(i) >= len(s.slots) || s.slots[i].refs.Load() <= 0 {
		return Object{}, false
	}
	return Object{
		Base:   s.base + uintptr(i)*s.stride,
		Layout: s.slots[i].layout.Load(),
		Number: s.number<<slotBits | i,
	}, true
}

func (o *Object) slot() *slot {
	return &table(&heap.slabs)[o.Number>>slotBits].slots[o.Number&(1<<slotBits-1)]
}

// Acquire takes another reference of the object that an address points into. It
// gives false where there is none.
func Acquire(addr uintptr) bool {
	o, ok := Find(addr)
	if !ok {
		return false
	}
	for refs := &o.slot().refs; ; {
		n := refs.Load()
		if n <= 0 {
			return false
		}
		if refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Drop gives back a reference of the object that an address points into; with the
// last one the object goes, and what it holds. It gives false where there is no
// object.
func Drop(addr uintptr) bool {
	o, ok := Find(addr)
	if !ok {
		return false
	}
	s := o.slot()
	for {
		n := s.refs.Load()
		if n <= 0 {
			return false
		}
		if n > 1 {
			if s.refs.CompareAndSwap(n, n-1) {
				return true
			}
			continue
		}
		o.Layout.Fields.Free(nil, o.Base)
		s.refs.Store(0)
		if o.Layout.Fields.Has(maps.FieldRefcount) {
			Later(o.reuse)
		} else {
			o.reuse()
		}
		return true
	}
}

// Later calls free once no program that runs now can see an object that is gone.
// As in Linux that matters for objects with a bpf_refcount, which others may look
// at without owning them. The machine sets it before programs run.
var Later = func(free func()) { free() }

// reuse makes an object's place free.
func (o *Object) reuse() {
	heap.mu.Lock()
	defer heap.mu.Unlock()
	class := table(&heap.slabs)[o.Number>>slotBits].stride
	heap.free[class] = append(heap.free[class], o.Number)
}

// Live counts the objects that live now, for tests.
func Live() int {
	n := 0
	for _, s := range table(&heap.slabs) {
		for i := range s.slots {
			if s.slots[i].refs.Load() > 0 {
				n++
			}
		}
	}
	return n
}
