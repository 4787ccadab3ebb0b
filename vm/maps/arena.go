package maps

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
)

// Arena is BPF_MAP_TYPE_ARENA: pages that programs and user space share, and that
// either allocates. It has no elements; its memory is the one value of its slab.
type Arena struct {
	common
	user  uint64 // the address in user space of the first byte
	pages uint32

	mu    sync.Mutex
	taken []uint64        // bits of pages that are no longer free, protected by mu
	there []atomic.Uint64 // bits of pages that are allocated
}

const (
	fourGiB  = 1 << 32
	pageBits = 12
)

func checkArena(spec *ebpf.MapSpec) error {
	size := uint64(spec.MaxEntries) * pageSize
	switch {
	case spec.KeySize != 0 || spec.ValueSize != 0:
		return refuse(errno.EINVAL, "key_size is %d and value_size %d, and an arena has no elements: both must be 0", spec.KeySize, spec.ValueSize)
	case spec.MaxEntries == 0:
		return refuse(errno.EINVAL, "max_entries is 0, and an arena has at least one page")
	case spec.Flags&FlagMmapable == 0:
		return refuse(errno.EINVAL, "flags %#x are without BPF_F_MMAPABLE, which an arena must have", spec.Flags)
	case spec.MapExtra%pageSize != 0:
		return refuse(errno.EINVAL, "map_extra is %#x, which is not the address of a page", spec.MapExtra)
	case size > fourGiB:
		return refuse(errno.E2BIG, "max_entries is %d pages, and an arena has at most 4 GiB", spec.MaxEntries)
	case spec.MapExtra>>32 != (spec.MapExtra+size-1)>>32:
		return refuse(errno.ERANGE, "map_extra is %#x, from where %d pages cross a multiple of 4 GiB", spec.MapExtra, spec.MaxEntries)
	}
	return nil
}

func newArena(info Info) (Map, error) {
	words := (info.MaxEntries + 63) / 64
	a := &Arena{
		user: info.Extra, pages: info.MaxEntries,
		taken: make([]uint64, words), there: make([]atomic.Uint64, words),
	}
	a.init(info, a)
	size := uint64(info.MaxEntries) * pageSize
	if err := a.reserve(size); err != nil {
		return nil, err
	}
	// Where nobody says which addresses user space has, they are the real ones. No
	// arena crosses a multiple of 4 GiB there, and none begins at one, as the
	// first page's pointers would look like NULL.
	base := uint64(a.mem.Addr())
	if a.user == 0 && (base>>32 != (base+size-1)>>32 || uint32(base) == 0) {
		if err := a.mem.Free(); err != nil {
			return nil, err
		}
		if err := a.reserve(size + fourGiB + pageSize); err != nil {
			return nil, err
		}
		base = uint64(a.mem.Addr())
		if base>>32 != (base+size-1)>>32 || uint32(base) == 0 {
			base = roundUp(base+1, fourGiB)
			if size < fourGiB {
				base += pageSize
			}
		}
	}
	if a.user == 0 {
		a.user = base
	}
	a.info.Values = Slab{Base: uintptr(base), Stride: uintptr(size), Size: uintptr(size), N: 1}
	return a, nil
}

// UserBase is the address in user space of the arena's first byte.
func (a *Arena) UserBase() uint64 { return a.user }

// Memory implements Mmapable. Pages that nobody allocated are part of it, too:
// user space's access allocates them, which is [Arena.Touch].
func (a *Arena) Memory() ([]byte, bool) {
	return mem.View(a.info.Values.Base, int(a.info.Values.Size)), true
}

// Allocated reports whether all of n bytes from an offset on, at most a page,
// are in pages that are allocated.
func (a *Arena) Allocated(offset, n uintptr) bool {
	first, last := offset>>pageBits, (offset+n-1)>>pageBits
	for p := first; p <= last; p++ {
		if p >= uintptr(a.pages) || a.there[p/64].Load()>>(p%64)&1 == 0 {
			return false
		}
	}
	return true
}

// page is the number of the page that an address of user space means, which may
// be beyond the last.
func (a *Arena) page(user uint64) uint32 { return (uint32(user) - uint32(a.user)) >> pageBits }

// Alloc allocates n pages at an address of user space, or anywhere where it is 0,
// and gives their address; 0 where there are not so many.
func (a *Arena) Alloc(user uint64, n uint32) uint64 {
	if n == 0 || n > a.pages || user%pageSize != 0 {
		return 0
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	first := a.page(user)
	if user == 0 {
		var ok bool
		if first, ok = a.find(n); !ok {
			return 0
		}
	} else if first > a.pages-n || !a.free(first, n) {
		return 0
	}
	for p := first; p < first+n; p++ {
		a.taken[p/64] |= 1 << (p % 64)
		a.there[p/64].Or(1 << (p % 64))
	}
	return a.user>>32<<32 | uint64(uint32(a.user)+first<<pageBits)
}

// free reports whether n pages are free.
func (a *Arena) free(first, n uint32) bool {
	for p := first; p < first+n; p++ {
		if a.taken[p/64]>>(p%64)&1 != 0 {
			return false
		}
	}
	return true
}

// find gives the first page of the smallest run of free pages that is long
// enough.
func (a *Arena) find(n uint32) (first uint32, ok bool) {
	best := uint32(0)
	for p := uint32(0); p < a.pages; {
		rest := ^a.taken[p/64] >> (p % 64)
		if rest == 0 {
			p = (p/64 + 1) * 64
			continue
		}
		p += uint32(bits.TrailingZeros64(rest))
		start := p
		for p < a.pages && a.taken[p/64]>>(p%64)&1 == 0 {
			p++
		}
		if size := p - start; start < a.pages && size >= n && (!ok || size < best) {
			first, best, ok = start, size, true
		}
	}
	return first, ok
}

// Free gives n pages from an address of user space on back; those behind the
// arena's end do not count.
func (a *Arena) Free(user uint64, n uint32) {
	first := a.page(user)
	if user == 0 || first >= a.pages {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for p := first; p < first+min(n, a.pages-first); p++ {
		bit := uint64(1) << (p % 64)
		if a.there[p/64].And(^bit)&bit != 0 {
			clear(mem.View(a.info.Values.Base+uintptr(p)<<pageBits, pageSize))
		}
		a.taken[p/64] &^= bit
	}
}

// Reserve keeps n pages from being allocated. EINVAL where the arena does not
// have them, EBUSY where one is taken.
func (a *Arena) Reserve(user uint64, n uint32) error {
	first := a.page(user)
	if uint64(first)+uint64(n) > uint64(a.pages) {
		return errno.EINVAL
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.free(first, n) {
		return errno.EBUSY
	}
	for p := first; p < first+n; p++ {
		a.taken[p/64] |= 1 << (p % 64)
	}
	return nil
}

// Touch gives n bytes at an offset for user space, and allocates their pages as
// Linux does where user space first accesses one; nil outside the arena.
func (a *Arena) Touch(offset, n uint64) []byte {
	size := uint64(a.info.Values.Size)
	if n > size || offset > size-n {
		return nil
	}
	if n > 0 && !a.Allocated(uintptr(offset), uintptr(n)) {
		a.mu.Lock()
		for p := offset >> pageBits; p <= (offset+n-1)>>pageBits; p++ {
			a.taken[p/64] |= 1 << (p % 64)
			a.there[p/64].Or(1 << (p % 64))
		}
		a.mu.Unlock()
	}
	return mem.View(a.info.Values.Base+uintptr(offset), int(n))
}

func (*Arena) userLookup([]byte, []byte, uint64) error { return errno.EINVAL }
func (*Arena) userUpdate([]byte, []byte, uint64) error { return errno.EOPNOTSUPP }
func (*Arena) userDelete([]byte) error                 { return errno.EOPNOTSUPP }
func (*Arena) nextKey([]byte, []byte) error            { return errno.EOPNOTSUPP }
