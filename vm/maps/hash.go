package maps

import (
	"runtime"
	"sync/atomic"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
)

// hash is BPF_MAP_TYPE_HASH and BPF_MAP_TYPE_PERCPU_HASH.
//
// As in Linux an update of a key that exists does not write into its value: it
// links a new element with the new value, and a program that holds the old value's
// address keeps the old value for a while. Each CPU has one spare element for
// that, and user space uses any of them. Per-CPU values, and all under BPF_F_LOCK,
// are updated in place.
type hash struct {
	common
	*table
	percpu bool
	spare  []spare // by CPU
}

// spare is the link of a spare element, 0 while it is in use.
type spare struct {
	atomic.Uint32
	_ [cacheLine - 4]byte
}

func newHash(info Info) (Map, error) {
	h := &hash{}
	h.init(info, h)
	return h, h.open()
}

func (h *hash) open() (err error) {
	info := &h.info
	h.percpu = info.PerCPU()
	h.table, err = newTable(&h.common, info.MaxEntries, uint32(info.CPUs))
	if err != nil {
		return err
	}
	h.spare = make([]spare, info.CPUs)
	for cpu := range h.spare {
		h.spare[cpu].Store(info.MaxEntries + 1 + uint32(cpu))
	}
	return nil
}

// Lookup implements Map.
func (h *hash) Lookup(cpu int, key []byte) uintptr {
	link := h.find(key, h.hash(key))
	if link == 0 {
		return 0
	}
	return h.value(link, cpu)
}

// Count implements Counted. Elements of keys that come and go meanwhile count or not.
func (h *hash) Count() (n int) {
	count := func(first, last uint32) {
		for link := first; link <= last; link++ {
			if loadU32(h.elem(link)+offState) != 0 {
				n++
			}
		}
	}
	count(1, h.fresh.Load())
	count(h.n+1, h.n+uint32(len(h.spare)))
	return n
}

// KeyOf implements Keyed.
func (h *hash) KeyOf(value uintptr, key []byte) {
	i := (value - h.values) / h.valueStride
	if h.row != 0 {
		i %= h.row / h.valueStride
	}
	copy(key, h.keyOf(uint32(i)))
}

// Update implements Map.
func (h *hash) Update(cpu int, key, value []byte, flags uint64) error {
	return h.update(cpu, key, value, flags, false)
}

// update is an update by a program, or by user space, which gives a per-CPU
// map's values for all CPUs.
func (h *hash) update(cpu int, key, value []byte, flags uint64, user bool) error {
	if err := h.checkUpdate(flags, user); err != nil {
		return err
	}
	hash := h.hash(key)
	lock := h.lock(hash)
	lock.lock()
	defer lock.unlock()
	at, old := h.search(key, hash)
	if err := checkExist(old != 0, flags); err != nil {
		return err
	}
	if old != 0 {
		h.replace(at, old, hash, cpu, key, value, flags, user)
		return nil
	}
	link := h.pop()
	if link == 0 {
		return errno.E2BIG
	}
	h.insert(link, hash, cpu, key, value, flags&^FlagLock, user)
	return nil
}

// checkUpdate tests flags alone. With one value for a CPU or for all, Linux takes
// UpdateNoExist and UpdateExist, where it takes them, and does not heed them.
func (h *hash) checkUpdate(flags uint64, user bool) error {
	if user && h.percpu && flags&oneValue != 0 {
		if uint32(flags) > FlagAllCPUs {
			return errno.EINVAL
		}
		return nil
	}
	if flags&^FlagLock > UpdateExist || flags&FlagLock != 0 && h.spin < 0 {
		return errno.EINVAL
	}
	return nil
}

// checkExist tests flags against whether the key is in the map.
func checkExist(exists bool, flags uint64) error {
	switch flags &^ FlagLock {
	case UpdateNoExist:
		if exists {
			return errno.EEXIST
		}
	case UpdateExist:
		if !exists {
			return errno.ENOENT
		}
	}
	return nil
}

// insert links a key with its first value; the caller holds the bucket's lock.
func (h *hash) insert(link, hash uint32, cpu int, key, value []byte, flags uint64, user bool) {
	h.fill(link, key, hash)
	h.put(link, cpu, value, flags, user, true)
	h.link(link, hash)
}

// replace gives a key that is in the map a new value; the caller holds the
// bucket's lock, and at is the place of the link to old. It returns the element
// that the key has now.
func (h *hash) replace(at uintptr, old, hash uint32, cpu int, key, value []byte, flags uint64, user bool) uint32 {
	if h.percpu || flags&FlagLock != 0 {
		h.put(old, cpu, value, flags, user, false)
		return old
	}
	from := cpu
	if user { // any will do, so that two writers seldom want the same
		from = int(hash>>8) % len(h.spare)
	}
	spare, link := h.takeSpare(from)
	h.fill(link, key, hash)
	h.put(link, cpu, value, flags, user, true)
	h.swap(at, old, link, hash)
	h.end(old)
	spare.Store(old)
	return link
}

// takeSpare takes a CPU's spare element, or another's, and waits where there is
// none. Who has one needs nothing that the caller holds.
func (h *hash) takeSpare(cpu int) (*spare, uint32) {
	for {
		for i := range h.spare {
			s := &h.spare[(cpu+i)%len(h.spare)]
			if link := s.Load(); link != 0 && s.CompareAndSwap(link, 0) {
				return s, link
			}
		}
		runtime.Gosched()
	}
}

// put writes a value into an element: user space's for the CPUs that flags say, a
// program's for its own CPU. The others' values of a fresh element are zero then.
func (h *hash) put(link uint32, cpu int, value []byte, flags uint64, user, fresh bool) {
	if h.percpu && fresh && (!user || flags&FlagCPU != 0) {
		for other := range h.info.CPUs {
			clear(mem.View(h.value(link, other), int(h.valueStride)))
		}
	}
	if h.percpu && user {
		h.writeCPUs(h.value(link, 0), h.row, value, flags)
		return
	}
	at := h.value(link, cpu)
	switch {
	case fresh:
		h.info.Fields.Free(&h.info, at) // stored by a run that still points here
		h.info.Fields.reset(at)
		h.write(at, value, flags)
	case h.percpu:
		h.overwrite(at, value, flags)
	default:
		h.write(at, value, flags)
	}
}

// end frees what the special fields of an element's values keep.
func (h *hash) end(link uint32) {
	if len(h.info.Fields) == 0 {
		return
	}
	h.info.Fields.Free(&h.info, h.value(link, 0))
	if h.percpu {
		for cpu := 1; cpu < h.info.CPUs; cpu++ {
			h.info.Fields.Free(&h.info, h.value(link, cpu))
		}
	}
}

// get copies an element's value to user space.
func (h *hash) get(link uint32, value []byte, flags uint64) {
	if h.percpu {
		h.readCPUs(value, h.value(link, 0), h.row, flags)
		return
	}
	h.read(value, h.value(link, 0), flags)
}

// Delete implements Map.
func (h *hash) Delete(key []byte) error { return h.remove(key, nil, 0) }

// remove deletes a key, and copies its value first where value is not nil.
func (h *hash) remove(key, value []byte, flags uint64) error {
	hash := h.hash(key)
	lock := h.lock(hash)
	lock.lock()
	defer lock.unlock()
	at, link := h.search(key, hash)
	if link == 0 {
		return errno.ENOENT
	}
	if value != nil {
		h.get(link, value, flags)
	}
	h.unlink(at, link)
	h.end(link)
	h.push(link)
	return nil
}

// userLookup copies a value and believes it if no writer held the bucket's lock
// meanwhile. Under FlagLock, and after some vain attempts, it holds the lock itself.
func (h *hash) userLookup(key, value []byte, flags uint64) error {
	hash := h.hash(key)
	lock := h.lock(hash)
	for attempt := 0; attempt < 4 && flags&FlagLock == 0; attempt++ {
		version, ok := lock.begin()
		if !ok {
			continue
		}
		_, link := h.search(key, hash)
		if link != 0 {
			h.get(link, value, flags)
		}
		if !lock.unchanged(version) {
			continue
		}
		if link == 0 {
			return errno.ENOENT
		}
		return nil
	}
	lock.lock()
	defer lock.unlock()
	_, link := h.search(key, hash)
	if link == 0 {
		return errno.ENOENT
	}
	h.get(link, value, flags)
	return nil
}

func (h *hash) userUpdate(key, value []byte, flags uint64) error {
	return h.update(0, key, value, flags, true)
}

func (h *hash) userDelete(key []byte) error { return h.remove(key, nil, 0) }

func (h *hash) userTake(key, value []byte, flags uint64) error { return h.remove(key, value, flags) }

func (h *hash) nextKey(key, next []byte) error { return h.next(key, next) }
