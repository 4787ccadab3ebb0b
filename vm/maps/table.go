package maps

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"runtime"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
)

// table is the hash table under all hash maps. Its memory is
//
//	buckets   a cache line each:
//	            lock seqLock
//	            slots [14]u32  tagged links of elements; 0 where there is none
//	            rest u32       tagged link of the first element that has no slot
//	elements  at elems + link*stride, link from 1:
//	            next u32    the tagged link after this element in its bucket's rest
//	            hash u32    of the key
//	            free u32    the link after this element in the list of free ones
//	            state u32   linked; referenced (set by lookups in an LRU map)
//	            key         rounded up to 8 bytes
//	            value       rounded up to 8 bytes, unless the map is per-CPU
//	values    at values + link*valueStride + cpu*row
//
// For a map that is not per-CPU row is 0, and values and valueStride point into
// the elements. The number of buckets is a power of two; a key's bucket is the
// lower bits of its hash.
//
// A link is the number of an element, so that a new table is all zeroes and costs
// nothing. A tagged link has the upper bits of the key's hash where the number
// leaves room: of a large map, a lookup reads two cache lines from memory, the
// bucket's and the element's.
//
// Writers hold the bucket's lock. Readers hold nothing: what they read may belong to
// another key meanwhile, so they believe it only if no writer was there; otherwise
// they look again. Machine code reads tables, too ([Native]).
type table struct {
	buckets     uintptr
	mask        uint32 // of the bucket in a hash
	links       uint32 // mask of the link in a tagged link
	seed        uint64
	keySize     int
	values      uintptr
	valueStride uintptr
	row         uintptr
	freeList    // elems, stride

	_    [cacheLine]byte
	free freeState
	_    [cacheLine]byte
}

const (
	bucketLen = cacheLine
	// How many elements a bucket of a full table has, and of one whose buckets a
	// processor's cache holds anyway, and where more keys find their home free.
	bucketFill   = 8
	smallFill    = 4
	smallEntries = 1 << 16
	offSlots     = 4
	offRest      = bucketLen - 4
	slotCount    = (offRest - offSlots) / 4

	offNext  = 0
	offHash  = 4
	offState = 12
	offKey   = 16

	linked     = 1 // the element is in a bucket
	referenced = 2 // and was used since the eviction's hand last passed
)

// newTable lays a table out for n elements that hold keys at the same time, and
// spare ones.
func newTable(c *common, n, spare uint32) (*table, error) {
	info := &c.info
	fill := uint64(bucketFill)
	if info.MaxEntries <= smallEntries {
		fill = smallFill
	}
	nBuckets := max(1, uint64(1)<<bits.Len32(info.MaxEntries-1)/fill)
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
		links:   1<<bits.Len64(total) - 1,
		keySize: int(info.KeySize),
	}
	t.freeState = &t.free
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

// bucket is the bucket of a hash.
func (t *table) bucket(hash uint32) uintptr { return t.buckets + uintptr(hash&t.mask)*bucketLen }

func (t *table) value(link uint32, cpu int) uintptr {
	return t.values + uintptr(link)*t.valueStride + uintptr(cpu)*t.row
}

func (t *table) keyOf(link uint32) []byte { return mem.View(t.elem(link)+offKey, t.keySize) }

func (t *table) hash(key []byte) uint32 { return uint32(hashOf(key, t.seed)) }

// lock is the lock of a hash's bucket.
func (t *table) lock(hash uint32) *seqLock { return (*seqLock)(mem.At(t.bucket(hash))) }

// find gives the element of a key, or 0, for who does not hold the bucket's lock.
func (t *table) find(key []byte, hash uint32) uint32 {
	lock := t.lock(hash)
	for range 64 {
		if version, ok := lock.begin(); ok {
			if _, link := t.search(key, hash); lock.unchanged(version) {
				return link
			}
		}
		runtime.Gosched() // a writer is in our way; let it finish
	}
	lock.lock()
	defer lock.unlock()
	_, link := t.search(key, hash)
	return link
}

// home is the slot of its bucket that a hash tries first, so that most searches
// read one link.
func home(bucket uintptr, hash uint32) uintptr {
	return bucket + offSlots + uintptr(uint64(hash)*slotCount>>32*4)
}

// search gives the element of a key and the place of the link to it, or 0.
func (t *table) search(key []byte, hash uint32) (at uintptr, link uint32) {
	bucket, tag := t.bucket(hash), hash&^t.links
	at = home(bucket, hash)
	if link = loadU32(at) ^ tag; link <= t.links && link != 0 && equal(key, t.elem(link)+offKey) {
		return at, link
	}
	for at = bucket + offSlots; at < bucket+offRest; at += 4 {
		if link = loadU32(at) ^ tag; link <= t.links && link != 0 && equal(key, t.elem(link)+offKey) {
			return at, link
		}
	}
	for {
		if link = loadU32(at) & t.links; link == 0 || equal(key, t.elem(link)+offKey) {
			return at, link
		}
		at = t.elem(link) + offNext
	}
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

// fill gives an element that is in no bucket to a key. The caller writes the value
// and then calls link or swap, under the lock of the key's bucket.
func (t *table) fill(link uint32, key []byte, hash uint32) {
	e := t.elem(link)
	setU32(e+offHash, hash)
	copy(mem.View(e+offKey, len(key)), key)
}

// link puts a filled element into its bucket.
func (t *table) link(link, hash uint32) {
	bucket := t.bucket(hash)
	at := home(bucket, hash)
	if loadU32(at) != 0 {
		for at = bucket + offSlots; at < bucket+offRest && loadU32(at) != 0; {
			at += 4
		}
	}
	setU32(t.elem(link)+offNext, loadU32(at))
	setU32(t.elem(link)+offState, linked)
	storeU32(at, hash&^t.links|link)
}

// swap puts a filled element in the place of another one with the same key.
func (t *table) swap(at uintptr, old, link, hash uint32) {
	setU32(t.elem(link)+offNext, loadU32(t.elem(old)+offNext))
	setU32(t.elem(link)+offState, linked)
	storeU32(at, hash&^t.links|link)
	setU32(t.elem(old)+offState, 0)
}

// unlink takes an element out of its bucket, under the bucket's lock.
func (t *table) unlink(at uintptr, link uint32) {
	storeU32(at, loadU32(t.elem(link)+offNext))
	setU32(t.elem(link)+offState, 0)
}

// after gives the element behind a place in a bucket, where link is; the first one
// behind the bucket's lock word. 0 after the last.
func (t *table) after(bucket, at uintptr, link uint32) (uintptr, uint32) {
	if at-bucket >= offRest { // link has no slot
		at = t.elem(link) + offNext
		return at, loadU32(at) & t.links
	}
	for at += 4; at < bucket+offRest; at += 4 {
		if link = loadU32(at) & t.links; link != 0 {
			return at, link
		}
	}
	return at, loadU32(at) & t.links
}

// next writes the key after key: in its bucket, then in the buckets behind it.
func (t *table) next(key, next []byte) error {
	b := uint32(0)
	if key != nil {
		hash := t.hash(key)
		lock := t.lock(hash)
		lock.lock()
		at, link := t.search(key, hash)
		if link != 0 {
			b = hash&t.mask + 1
			if _, link = t.after(t.bucket(hash), at, link); link != 0 {
				copy(next, t.keyOf(link))
				lock.unlock()
				return nil
			}
		}
		lock.unlock()
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
	bucket := t.bucket(b)
	if _, link := t.after(bucket, bucket, 0); link == 0 {
		return false
	}
	lock := t.lock(b)
	lock.lock()
	defer lock.unlock()
	_, link := t.after(bucket, bucket, 0)
	if link == 0 {
		return false
	}
	copy(key, t.keyOf(link))
	return true
}
