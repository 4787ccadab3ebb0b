package maps

import (
	"runtime"
	"sync/atomic"

	"github.com/skep-ebpf/skep/internal/errno"
)

// lru is BPF_MAP_TYPE_LRU_HASH and BPF_MAP_TYPE_LRU_PERCPU_HASH: a hash table
// that evicts instead of being full.
//
// A hand goes round the elements, as in a clock. It spares an element that was
// used since it last passed, and takes the first one that was not. Linux keeps
// an active and an inactive list with the same second chance; which of several
// unused elements goes first is unspecified in both. BPF_F_NO_COMMON_LRU divides
// Linux's map among the CPUs; here they share one hand, so a CPU may use it all.
type lru struct {
	hash
	hand atomic.Uint64
}

// maxSpared bounds how many used elements one eviction spares.
const maxSpared = 1024

func newLRU(info Info) (Map, error) {
	if info.Flags&FlagNoCommonLRU != 0 {
		info.MaxEntries = divisible(info.MaxEntries, uint32(info.CPUs))
	}
	l := &lru{}
	l.init(info, l)
	return l, l.open()
}

// divisible rounds max_entries up to a multiple of the CPUs, or down where that
// overflows.
func divisible(n, cpus uint32) uint32 {
	if up := roundUp(uint64(n), uint64(cpus)); up < 1<<32 {
		return uint32(up)
	}
	return n / cpus * cpus
}

// Lookup implements Map.
func (l *lru) Lookup(cpu int, key []byte) uintptr {
	link := l.find(key, l.table.hash(key))
	if link == 0 {
		return 0
	}
	l.touch(link)
	return l.value(link, cpu)
}

// touch marks an element as used.
func (l *lru) touch(link uint32) {
	state := l.elem(link) + offState
	if loadU32(state) == linked {
		casU32(state, linked, linked|referenced)
	}
}

// Update implements Map.
func (l *lru) Update(cpu int, key, value []byte, flags uint64) error {
	return l.update(cpu, key, value, flags, false)
}

func (l *lru) update(cpu int, key, value []byte, flags uint64, user bool) error {
	if err := l.checkUpdate(flags, user); err != nil {
		return err
	}
	hash := l.table.hash(key)
	lock := l.lock(hash)
	lock.lock()
	at, old := l.search(key, hash)
	fresh := uint32(0)
	if old == 0 && flags != UpdateExist {
		// An eviction locks the bucket of its victim, so ours must be free.
		lock.unlock()
		if fresh = l.obtain(); fresh == 0 {
			return errno.ENOMEM
		}
		lock.lock()
		at, old = l.search(key, hash)
	}
	defer lock.unlock()
	if fresh != 0 && old != 0 { // another writer was faster
		l.push(fresh)
	}
	if err := checkExist(old != 0, flags); err != nil {
		return err
	}
	if old != 0 {
		l.touch(l.replace(at, old, hash, cpu, key, value, flags, user))
		return nil
	}
	l.insert(fresh, hash, cpu, key, value, flags, user)
	return nil
}

// obtain gives an element that is in no list: a free one, or one that it evicts.
// It gives 0 only where others hold all of them.
func (l *lru) obtain() uint32 {
	for range 64 {
		if link := l.pop(); link != 0 {
			return link
		}
		if link := l.evict(); link != 0 {
			return link
		}
		runtime.Gosched()
	}
	return 0
}

// evict takes the least recently used element out of its bucket, in at most two
// turns of the hand.
func (l *lru) evict() uint32 {
	total := uint64(l.info.MaxEntries) + uint64(l.info.CPUs)
	spared := 0
	for range 2 * total {
		link := uint32((l.hand.Add(1)-1)%total) + 1
		state := loadU32(l.elem(link) + offState)
		if state == 0 {
			continue
		}
		if state&referenced != 0 && spared < maxSpared {
			casU32(l.elem(link)+offState, state, linked)
			spared++
			continue
		}
		if l.detach(link) {
			return link
		}
	}
	return 0
}

// detach takes an element out of its bucket; false where it is in none any more.
func (l *lru) detach(link uint32) bool {
	e := l.elem(link)
	hash := loadU32(e + offHash)
	lock := l.lock(hash)
	lock.lock()
	defer lock.unlock()
	if loadU32(e+offState) == 0 || loadU32(e+offHash) != hash {
		return false
	}
	bucket := l.bucket(hash)
	for at, other := l.after(bucket, bucket, 0); other != 0; at, other = l.after(bucket, at, other) {
		if other == link {
			l.unlink(at, link)
			l.end(link)
			return true
		}
	}
	return false
}

func (l *lru) userUpdate(key, value []byte, flags uint64) error {
	return l.update(0, key, value, flags, true)
}
