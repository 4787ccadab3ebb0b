package maps

import (
	"math"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
)

// trie is BPF_MAP_TYPE_LPM_TRIE. A key is a prefix length in bits (u32) and data,
// most significant byte first. Node link (from 1) lies at elems + link*stride:
//
//	children  2 x u32  links of the nodes whose next bit is 0 and 1, or 0
//	free      u32      the link after this node in the list of free ones
//	kind      u32      entry, or branch: a fork that no key ends at
//	prefixlen u32      bits
//	data               the key's, rounded up with prefixlen to 8 bytes
//	value              rounded up to 8 bytes
//
// In front of the nodes is a table by the first byte of data: the first node of at
// least 8 bits on the way down, and the last entry above it, two u32 each. A
// lookup of 8 bits or more begins there.
//
// Writers exclude each other. A lookup takes no lock: it reads the sequence
// number, which is odd while a writer works, before and after.
type trie struct {
	common
	freeList
	size  int    // bytes of data
	max   uint32 // bits of data
	value uintptr
	root  atomic.Uint32
	seq   atomic.Uint32

	mu      sync.Mutex
	entries uint32 // protected by mu
}

const (
	shortBits  = 8
	shortTable = 8 << shortBits // bytes

	offKind   = 12
	offPrefix = 16 // prefixlen, and data behind it: the key as it was given

	entry  = 0
	branch = 1
)

func newTrie(info Info) (Map, error) {
	t := &trie{size: int(info.KeySize) - 4, max: (info.KeySize - 4) * 8}
	t.value = uintptr(offPrefix + roundUp(uint64(info.KeySize), 8))
	t.stride = t.value + uintptr(roundUp(uint64(info.ValueSize), 8))
	// n entries have at most n-1 branches above them, and one node is there to
	// replace another.
	n := min(2*uint64(info.MaxEntries), math.MaxUint32)
	t.n = uint32(n)
	t.init(info, t)
	if err := t.reserve(shortTable + n*uint64(t.stride)); err != nil {
		return nil, err
	}
	t.mem.Dense()
	t.elems = t.mem.Addr() + shortTable - t.stride
	return t, t.setValues(t.mem.Addr()+shortTable+t.value, t.stride, n)
}

func (t *trie) prefix(node uint32) uint32 { return loadU32(t.elem(node) + offPrefix) }
func (t *trie) isEntry(node uint32) bool  { return loadU32(t.elem(node)+offKind) == entry }
func (t *trie) child(node, bit uint32) uint32 {
	return loadU32(t.elem(node) + uintptr(bit)*4)
}

// keyOf is the key of a node, with its prefix length.
func (t *trie) keyOf(node uint32) []byte { return mem.View(t.elem(node)+offPrefix, t.size+4) }

// bit is a bit of a key's data, the most significant one first.
func bit(key []byte, i uint32) uint32 { return uint32(key[4+i/8]>>(7-i%8)) & 1 }

// match is how many bits a node's prefix and a key have in common.
func (t *trie) match(node uint32, key []byte) uint32 {
	limit := min(u32(key), t.prefix(node))
	for at := uint32(0); at < limit; at += 64 {
		if diff := wordAt(t.elem(node), at) ^ wordOf(key[4+at/8:]); diff != 0 {
			return min(at+uint32(bits.LeadingZeros64(diff)), limit)
		}
	}
	return limit
}

// setSlot writes the link that leads to a node: a child of parent, or the root.
func (t *trie) setSlot(parent, side, node uint32) {
	if parent == 0 {
		t.root.Store(node)
		return
	}
	storeU32(t.elem(parent)+uintptr(side)*4, node)
}

// step is one node of the way down to a key.
type step struct{ node, side uint32 }

// descend gives the way to where a key is or would be: the last node that the
// key goes through, on which side of it, the node there (or 0), and how many bits
// that one shares with the key. path, if not nil, gets the nodes above.
func (t *trie) descend(key []byte, path *[]step) (parent, side, node, matched uint32) {
	length := u32(key)
	for node = t.root.Load(); node != 0; node = t.child(parent, side) {
		prefix := t.prefix(node)
		matched = t.match(node, key)
		if matched != prefix || prefix == length {
			break
		}
		parent, side = node, bit(key, prefix)
		if path != nil {
			*path = append(*path, step{parent, side})
		}
	}
	return parent, side, node, matched
}

// fill gives a free node a key.
func (t *trie) fill(node uint32, key []byte, kind uint32) {
	e := t.elem(node)
	storeU32(e, 0)
	storeU32(e+4, 0)
	storeU32(e+offKind, kind)
	copy(t.keyOf(node), key)
}

// Update implements Map.
func (t *trie) Update(_ int, key, value []byte, flags uint64) error {
	if flags > UpdateExist || u32(key) > t.max {
		return errno.EINVAL
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	parent, side, node, matched := t.descend(key, nil)
	exact := node != 0 && matched == t.prefix(node) && matched == u32(key)
	if err := checkExist(exact && t.isEntry(node), flags); err != nil {
		return err
	}
	if !exact || !t.isEntry(node) {
		if t.entries == t.info.MaxEntries {
			return errno.ENOSPC
		}
		t.entries++
	}

	t.seq.Add(1)
	defer t.seq.Add(1)
	defer t.settle(key)
	fresh := t.pop()
	t.fill(fresh, key, entry)
	t.write(t.elem(fresh)+t.value, value, 0)
	switch {
	case node == 0:
		t.setSlot(parent, side, fresh)
	case exact: // takes the node's place
		t.setSlot(fresh, 0, t.child(node, 0))
		t.setSlot(fresh, 1, t.child(node, 1))
		t.setSlot(parent, side, fresh)
		t.push(node)
	case matched == u32(key): // goes above the node
		t.setSlot(fresh, bit(t.keyOf(node), matched), node)
		t.setSlot(parent, side, fresh)
	default: // forks off above the node
		fork := t.pop()
		t.fill(fork, key, branch)
		storeU32(t.elem(fork)+offPrefix, matched)
		t.setSlot(fork, bit(key, matched), fresh)
		t.setSlot(fork, bit(t.keyOf(node), matched), node)
		t.setSlot(parent, side, fork)
	}
	return nil
}

// Delete implements Map.
func (t *trie) Delete(key []byte) error {
	if u32(key) > t.max {
		return errno.EINVAL
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	var path []step
	parent, side, node, matched := t.descend(key, &path)
	if node == 0 || matched != t.prefix(node) || matched != u32(key) || !t.isEntry(node) {
		return errno.ENOENT
	}
	t.entries--
	t.seq.Add(1)
	defer t.seq.Add(1)
	defer t.settle(key)
	left, right := t.child(node, 0), t.child(node, 1)
	if left != 0 && right != 0 {
		storeU32(t.elem(node)+offKind, branch)
		return nil
	}
	t.setSlot(parent, side, left+right) // one of them is 0
	t.push(node)
	if left+right != 0 || parent == 0 || t.isEntry(parent) {
		return nil
	}
	// The branch above has one child left, which takes its place.
	above := step{}
	if len(path) > 1 {
		above = path[len(path)-2]
	}
	t.setSlot(above.node, above.side, t.child(parent, 1-side))
	t.push(parent)
	return nil
}

func (t *trie) userLookup(key, value []byte, flags uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if u32(key) > t.max {
		return errno.ENOENT
	}
	node, _ := t.longest(key)
	if node == 0 {
		return errno.ENOENT
	}
	t.read(value, t.elem(node)+t.value, flags)
	return nil
}

func (t *trie) userUpdate(key, value []byte, flags uint64) error {
	return t.Update(0, key, value, flags)
}

func (t *trie) userDelete(key []byte) error { return t.Delete(key) }

// nextKey goes through the prefixes in postorder: longer ones before the
// shorter ones that cover them.
func (t *trie) nextKey(key, next []byte) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	node := t.root.Load()
	if node == 0 {
		return errno.ENOENT
	}
	if key == nil || u32(key) > t.max {
		copy(next, t.keyOf(t.deepest(node)))
		return nil
	}
	var path []step
	_, _, found, matched := t.descend(key, &path)
	if found == 0 || matched != t.prefix(found) || matched != u32(key) || !t.isEntry(found) {
		copy(next, t.keyOf(t.deepest(node)))
		return nil
	}
	for i := len(path) - 1; i >= 0; i-- {
		above := path[i]
		if right := t.child(above.node, 1); above.side == 0 && right != 0 {
			copy(next, t.keyOf(t.deepest(right)))
			return nil
		}
		if t.isEntry(above.node) {
			copy(next, t.keyOf(above.node))
			return nil
		}
	}
	return errno.ENOENT
}

// deepest is the first node of a subtree in postorder. It has no children, so it
// is an entry.
func (t *trie) deepest(node uint32) uint32 {
	for {
		switch left, right := t.child(node, 0), t.child(node, 1); {
		case left != 0:
			node = left
		case right != 0:
			node = right
		default:
			return node
		}
	}
}
