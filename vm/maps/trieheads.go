package maps

import (
	"sync/atomic"

	"github.com/skep-ebpf/skep/internal/mem"
)

// heads is a table of a trie by the first bits of data. For each value of them it
// has the first node of at least so many bits on the way down, and the last entry
// above that node, of from to bits-1 bits: two u32.
//
// A trie has several. The narrowest is for 8 bits and has all the entries of fewer;
// each other one is headStep bits wider and has those between, so that a change
// concerns few places of each. The widest has about as many places as the
// map may have entries, so that a lookup in a large map begins near its end.
type heads struct {
	from, bits uint32
	base       uintptr // relative to the map's memory until there is one
}

const (
	headBits = 8
	headStep = 6
)

// layHeads decides which tables a trie has, and gives their size in bytes.
func (t *trie) layHeads() (size uint64) {
	from := uint32(0)
	for n := uint32(headBits); n == headBits || n <= t.max && 1<<n <= 2*uint64(t.info.MaxEntries); n += headStep {
		t.heads = append(t.heads, heads{from: from, bits: n, base: uintptr(size)})
		size += 8 << n
		from = n
	}
	return size
}

// place is where a table has what belongs to the first bits of word.
func (h *heads) place(word uint64) *uint64 {
	return (*uint64)(mem.At(h.base + uintptr(word>>(64-h.bits))*8))
}

func (h *heads) get(word uint64) (node, found uint32) {
	both := atomic.LoadUint64(h.place(word))
	return uint32(both), uint32(both >> 32)
}

func (h *heads) set(word uint64, node, found uint32) {
	atomic.StoreUint64(h.place(word), uint64(found)<<32|uint64(node))
}

// headsFor is the number of the widest table for keys of a length, or -1.
func (t *trie) headsFor(length uint32) int {
	i := len(t.heads) - 1
	for i >= 0 && t.heads[i].bits > length {
		i--
	}
	return i
}

// change is what happened on the way to a key: below node above hangs now top, or
// nothing. If top is a branch that an update made, its entry is low; otherwise low
// is top, too. The longest entry that has the key is entry now.
type change struct{ above, top, low, entry uint32 }

// settle makes the tables true after a change.
func (t *trie) settle(key []byte, c change) {
	length, word := u32(key), wordOf(key[4:])
	for i := range t.heads {
		h := &t.heads[i]
		switch {
		case length < h.from: // a narrower table has it, and no node of so many bits is another
			return
		case length < h.bits:
			if c.entry != 0 && t.prefix(c.entry) < h.from {
				c.entry = 0
			}
			t.settleEntry(h, word, length, c.entry)
		case c.above == 0 || t.prefix(c.above) < h.bits:
			node := uint32(0)
			if t.leads(h, c.top, word) {
				node = c.top
			} else if t.leads(h, c.low, word) {
				node = c.low
			}
			_, found := h.get(word)
			h.set(word, node, found)
		}
	}
}

// settleEntry makes an entry that of all places that had none of more bits.
func (t *trie) settleEntry(h *heads, word uint64, length, entry uint32) {
	n := uint64(1) << (h.bits - length)
	first := word >> (64 - h.bits) &^ (n - 1)
	for place := first; place < first+n; place++ {
		word := place << (64 - h.bits)
		if node, found := h.get(word); found == 0 || t.prefix(found) <= length {
			h.set(word, node, entry)
		}
	}
}

// leads reports whether a node has at least as many bits as a table, and those of
// word.
func (t *trie) leads(h *heads, node uint32, word uint64) bool {
	return node != 0 && t.prefix(node) >= h.bits && (wordAt(t.elem(node), 0)^word)>>(64-h.bits) == 0
}
