package maps

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"runtime"
	"sync/atomic"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
)

// table is the hash table under all hash maps. Its memory is
//
//	buckets   at buckets: nBuckets x { link u32; lock u32 }
//	elements  at elems + link*stride, link from 1:
//	            next u32    the link after this element
//	            hash u32    of the key, with the top bit set; 0 while the key changes
//	            free u32    the link after this element in the list of free ones
//	            state u32   linked; referenced (set by lookups in an LRU map)
//	            key         rounded up to 8 bytes
//	            value       rounded up to 8 bytes, unless the map is per-CPU
//	values    at values + link*valueStride + cpu*row
//
// For a map that is not per-CPU row is 0, and values and valueStride point into
// the elements. nBuckets is a power of two; a key's bucket is the lower bits of
// its hash.
//
// A link is the number of an element, 0 at the end of a list, so that a new table
// is all zeroes and costs nothing. A lock word is odd while it is held, and each
// release makes it another number.
//
// Writers hold the bucket's lock. Readers hold nothing: an element's memory stays
// an element's memory, but it may be given to another key while a reader looks at
// it. So a reader believes that it found its key only if the hash is the same
// after the comparison of the keys, and that the key is missing only if the lock
// word is even and the same after the walk; otherwise it walks again. A writer
// fills an element while its hash is 0.
type table struct {
	buckets     uintptr
	mask        uint32
	seed        uint64
	keySize     int
	values      uintptr
	valueStride uintptr
	row         uintptr
	freeList    // elems, stride
}

const (
	hashBit = 1 << 31 // in every hash

	offNext   = 0
	offHash   = 4
	offState  = 12
	offKey    = 16
	offLock   = 4 // in a bucket
	bucketLen = 8

	linked     = 1 // the element is in a bucket
	referenced = 2 // and was used since the eviction's hand last passed
)

// newTable lays a table out for n elements that hold keys at the same time, and
// spare ones.
func newTable(c *common, n, spare uint32) (*table, error) {
	info := &c.info
	nBuckets := uint64(1) << bits.Len32(info.MaxEntries-1)
	key := roundUp(uint64(info.KeySize), 8)
	value := roundUp(uint64(info.ValueSize), 8)
	total := uint64(n) + uint64(spare)

	stride, row, rows := offKey+key+value, uint64(0), uint64(0)
	if info.PerCPU() {
		stride = offKey + key
		row = rowOf(total, value)
		rows = row * uint64(info.CPUs)
	}
	if err := c.reserve(nBuckets*bucketLen + total*stride + rows*value); err != nil {
		return nil, err
	}
	c.mem.Dense()
	first := c.mem.Addr() + uintptr(nBuckets*bucketLen) // element 1
	t := &table{
		buckets: c.mem.Addr(),
		mask:    uint32(nBuckets - 1),
		keySize: int(info.KeySize),
	}
	t.elems, t.stride, t.n = first-uintptr(stride), uintptr(stride), n
	if info.Flags&FlagZeroSeed == 0 {
		t.seed = rand.Uint64()
	}
	base := first + offKey + uintptr(key)
	t.valueStride = t.stride
	if rows != 0 {
		base = first + uintptr(total*stride)
		t.valueStride = uintptr(value)
		t.row = uintptr(row * value)
		total = rows
	}
	t.values = base - t.valueStride
	return t, c.setValues(base, t.valueStride, total)
}

func (t *table) bucket(b uint32) uintptr { return t.buckets + uintptr(b)*bucketLen }

func (t *table) value(link uint32, cpu int) uintptr {
	return t.values + uintptr(link)*t.valueStride + uintptr(cpu)*t.row
}

func (t *table) keyOf(link uint32) []byte { return mem.View(t.elem(link)+offKey, t.keySize) }

func (t *table) hash(key []byte) uint32 { return uint32(hashOf(key, t.seed)) | hashBit }

// find gives the element of a key, or 0, for who does not hold the bucket's lock.
func (t *table) find(key []byte, hash uint32) uint32 {
	for range 64 {
		link, lock := t.bucketOf(hash)
		link = t.walk(link, key, hash)
		if link != 0 || lock&1 == 0 && t.unchanged(hash, lock) {
			return link
		}
		runtime.Gosched() // a writer is in our way; let it finish
	}
	t.lock(hash)
	defer t.unlock(hash)
	return t.search(key, hash)
}

// bucketOf gives the first link of a bucket and its lock word as of one moment.
func (t *table) bucketOf(hash uint32) (link, lock uint32) {
	both := atomic.LoadUint64((*uint64)(mem.At(t.bucket(hash & t.mask)))) // little-endian
	return uint32(both), uint32(both >> 32)
}

// unchanged reports whether no writer has been in a bucket since its lock word
// was lock.
func (t *table) unchanged(hash, lock uint32) bool {
	return loadU32(t.bucket(hash&t.mask)+offLock) == lock
}

// search is find for who holds the bucket's lock.
func (t *table) search(key []byte, hash uint32) uint32 {
	return t.walk(loadU32(t.bucket(hash&t.mask)), key, hash)
}

// walk goes along a list to the element of a key; 0 at its end.
func (t *table) walk(link uint32, key []byte, hash uint32) uint32 {
	for link != 0 {
		e := t.elem(link)
		if loadU32(e+offHash) == hash && equal(key, e+offKey) && loadU32(e+offHash) == hash {
			return link
		}
		link = loadU32(e + offNext)
	}
	return 0
}

// equal compares a key with the one at addr.
func equal(key []byte, addr uintptr) bool {
	switch len(key) {
	case 4:
		return binary.NativeEndian.Uint32(key) == *(*uint32)(mem.At(addr))
	case 8:
		return binary.NativeEndian.Uint64(key) == *(*uint64)(mem.At(addr))
	}
	return bytes.Equal(key, mem.View(addr, len(key)))
}

func (t *table) lock(hash uint32) {
	word := t.bucket(hash&t.mask) + offLock
	for n := 1; ; n++ {
		if v := loadU32(word); v&1 == 0 && casU32(word, v, v+1) {
			return
		}
		if n%64 == 0 {
			runtime.Gosched() // the holder may be waiting for this processor
		}
	}
}

func (t *table) unlock(hash uint32) {
	word := t.bucket(hash&t.mask) + offLock
	storeU32(word, loadU32(word)+1)
}

// fill gives an element that is in no list to a key. The caller writes the value
// and then calls link, under the lock of the key's bucket.
func (t *table) fill(link uint32, key []byte, hash uint32) {
	e := t.elem(link)
	storeU32(e+offHash, 0)
	storeU32(e+offNext, loadU32(t.bucket(hash&t.mask)))
	copy(mem.View(e+offKey, len(key)), key)
}

// link puts a filled element at the head of its bucket.
func (t *table) link(link, hash uint32) {
	storeU32(t.elem(link)+offHash, hash)
	storeU32(t.bucket(hash&t.mask), link)
	storeU32(t.elem(link)+offState, linked)
}

// unlink takes an element out of its bucket, under the bucket's lock.
func (t *table) unlink(link, hash uint32) {
	at := t.bucket(hash & t.mask)
	for {
		next := loadU32(at)
		if next == link {
			storeU32(at, loadU32(t.elem(link)+offNext))
			storeU32(t.elem(link)+offState, 0)
			return
		}
		at = t.elem(next) + offNext
	}
}

// next writes the key after key: in its bucket, then in the buckets behind it.
func (t *table) next(key, next []byte) error {
	b := uint32(0)
	if key != nil {
		hash := t.hash(key)
		t.lock(hash)
		link := t.search(key, hash)
		if link != 0 {
			b = hash&t.mask + 1
			if link = loadU32(t.elem(link) + offNext); link != 0 {
				copy(next, t.keyOf(link))
				t.unlock(hash)
				return nil
			}
		}
		t.unlock(hash)
	}
	for ; b <= t.mask; b++ {
		if t.first(b, next) {
			return nil
		}
	}
	return errno.ENOENT
}

// first writes the first key of a bucket; false where it has none.
func (t *table) first(b uint32, key []byte) bool {
	if loadU32(t.bucket(b)) == 0 {
		return false
	}
	t.lock(b)
	defer t.unlock(b)
	link := loadU32(t.bucket(b))
	if link == 0 {
		return false
	}
	copy(key, t.keyOf(link))
	return true
}
