package maps

import (
	"math"
	"math/bits"
	"sync/atomic"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
)

// trie is BPF_MAP_TYPE_LPM_TRIE. A key is a prefix length in bits (u32) and data,
// most significant byte first. Node link (from 1) lies at elems + link*stride:
//
//	children  2 x u32  links of the nodes whose next bit is 0 and 1, or 0
//	above     u32      link of the node above, or the one after it in the list of free ones
//	kind      u32      entry, or branch: a fork that no key ends at
//	prefixlen u32      bits
//	data               the key's, rounded up with prefixlen to 8 bytes
//	value              rounded up to 8 bytes
//
// In front of the nodes are the control, and tables by the first bits of data, from
// which lookups begin; trieheads.go has them.
//
// Writers exclude each other. A lookup takes no lock, and believes what it saw if no
// writer was there meanwhile. Machine code looks up, too ([Native]).
type trie struct {
	common
	freeList
	*trieControl
	size  int    // bytes of data
	max   uint32 // bits of data
	value uintptr
	heads []heads // narrower ones first
}

// trieControl is the beginning of a trie's memory: what every change writes to, in one
// cache line.
type trieControl struct {
	lock    seqLock
	root    atomic.Uint32
	entries uint32 // protected by lock
	free    freeState
}

const (
	offAbove  = offFree
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
	size := cacheLine + t.layHeads()
	if err := t.reserve(size + n*uint64(t.stride)); err != nil {
		return nil, err
	}
	t.mem.Dense()
	t.trieControl = (*trieControl)(mem.At(t.mem.Addr()))
	t.freeState = &t.free
	for i := range t.heads {
		t.heads[i].base += t.mem.Addr() + cacheLine
	}
	first := t.mem.Addr() + uintptr(size) // node 1
	t.elems = first - t.stride
	return t, t.setValues(first+t.value, t.stride, n)
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

// step is a node, and the side on which a way goes on from it. Node 0 is above the
// root.
type step struct{ node, side uint32 }

// hang puts a node, or nothing, below a step.
func (t *trie) hang(at step, node uint32) {
	if at.node == 0 {
		t.root.Store(node)
	} else {
		storeU32(t.elem(at.node)+uintptr(at.side)*4, node)
	}
	if node != 0 {
		setU32(t.elem(node)+offAbove, at.node)
	}
}

// above is the step that a node hangs below.
func (t *trie) above(node uint32) step {
	up := loadU32(t.elem(node) + offAbove)
	if up == 0 {
		return step{}
	}
	return step{up, bit(t.keyOf(node), t.prefix(up))}
}

// way is how a key, or where it would be, is reached: the last node that the key
// goes through, the node below it (or 0), and how many bits that shares with the
// key.
type way struct {
	parent        step
	node, matched uint32
}

// wayTo begins as far down as there is a node that has the key's first bits.
func (t *trie) wayTo(key []byte) (w way) {
	length := u32(key)
	for i := t.headsFor(length); i >= 0 && w.node == 0; i-- {
		w.node, _ = t.heads[i].get(wordOf(key[4:]))
	}
	if w.node == 0 {
		w.node = t.root.Load()
	}
	if w.node == 0 {
		return w
	}
	w.parent = t.above(w.node)
	for w.node != 0 {
		prefix := t.prefix(w.node)
		w.matched = t.match(w.node, key)
		if w.matched != prefix || prefix == length {
			break
		}
		w.parent = step{w.node, bit(key, prefix)}
		w.node = t.child(w.parent.node, w.parent.side)
	}
	return w
}

// warm reads most of what a change of a key is going to, so that memory is waited for
// before the lock is held and not while others wait for it. What a cache holds anyway,
// another writer would take away again.
func (t *trie) warm(key []byte) {
	if t.info.MaxEntries <= smallEntries {
		return
	}
	if node, _ := t.longest(key); node != 0 {
		if above := loadU32(t.elem(node) + offAbove); above != 0 {
			t.prefix(above)
		}
	}
}

// ends reports whether a way ends at a node for the very key.
func (t *trie) ends(w way, key []byte) bool {
	return w.node != 0 && w.matched == t.prefix(w.node) && w.matched == u32(key)
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
	t.warm(key)
	t.lock.lock()
	defer t.lock.unlock()
	w := t.wayTo(key)
	exact := t.ends(w, key)
	if err := checkExist(exact && t.isEntry(w.node), flags); err != nil {
		return err
	}
	if !exact || !t.isEntry(w.node) {
		if t.entries == t.info.MaxEntries {
			return errno.ENOSPC
		}
		t.entries++
	}

	fresh := t.pop()
	t.fill(fresh, key, entry)
	t.write(t.elem(fresh)+t.value, value, 0)
	top := fresh
	switch {
	case w.node == 0:
	case exact: // takes the node's place
		t.hang(step{fresh, 0}, t.child(w.node, 0))
		t.hang(step{fresh, 1}, t.child(w.node, 1))
		t.push(w.node)
	case w.matched == u32(key): // goes above the node
		t.hang(step{fresh, bit(t.keyOf(w.node), w.matched)}, w.node)
	default: // forks off above the node
		top = t.pop()
		t.fill(top, key, branch)
		storeU32(t.elem(top)+offPrefix, w.matched)
		t.hang(step{top, bit(key, w.matched)}, fresh)
		t.hang(step{top, bit(t.keyOf(w.node), w.matched)}, w.node)
	}
	t.hang(w.parent, top)
	t.settle(key, change{above: w.parent.node, top: top, low: fresh, entry: fresh})
	return nil
}

// Delete implements Map.
func (t *trie) Delete(key []byte) error {
	if u32(key) > t.max {
		return errno.EINVAL
	}
	t.warm(key)
	t.lock.lock()
	defer t.lock.unlock()
	w := t.wayTo(key)
	if !t.ends(w, key) || !t.isEntry(w.node) {
		return errno.ENOENT
	}
	t.entries--
	left, right := t.child(w.node, 0), t.child(w.node, 1)
	at, rest := w.parent, w.node
	switch {
	case left != 0 && right != 0:
		storeU32(t.elem(w.node)+offKind, branch)
	case left+right == 0 && at.node != 0 && !t.isEntry(at.node):
		// The branch above has one child left, which takes its place.
		rest = t.child(at.node, 1-at.side)
		at = t.above(at.node)
		t.push(w.parent.node)
		t.push(w.node)
	default:
		rest = left + right // one of them is 0
		t.push(w.node)
	}
	t.hang(at, rest)
	c := change{above: at.node, top: rest, low: rest}
	if t.headsFor(u32(key)) != len(t.heads)-1 { // a table has the entry, which is far up
		c.entry = t.cover(at.node)
	}
	t.settle(key, c)
	return nil
}

// cover is the first entry from a node upwards, or 0.
func (t *trie) cover(node uint32) uint32 {
	for node != 0 && !t.isEntry(node) {
		node = loadU32(t.elem(node) + offAbove)
	}
	return node
}

func (t *trie) userUpdate(key, value []byte, flags uint64) error {
	return t.Update(0, key, value, flags)
}

func (t *trie) userDelete(key []byte) error { return t.Delete(key) }

// nextKey goes through the prefixes in postorder: longer ones before the
// shorter ones that cover them.
func (t *trie) nextKey(key, next []byte) error {
	t.lock.lock()
	defer t.lock.unlock()
	node := t.root.Load()
	if node == 0 {
		return errno.ENOENT
	}
	found := uint32(0)
	if key != nil && u32(key) <= t.max {
		if w := t.wayTo(key); t.ends(w, key) && t.isEntry(w.node) {
			found = w.node
		}
	}
	if found == 0 {
		copy(next, t.keyOf(t.deepest(node)))
		return nil
	}
	for above := t.above(found); above.node != 0; above = t.above(above.node) {
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
