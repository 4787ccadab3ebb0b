package maps

import (
	"encoding/binary"
	"runtime"
	"sync/atomic"

	"github.com/skep-ebpf/skep/internal/mem"
)

// Lookup implements Map: the value of the longest prefix of key.
func (t *trie) Lookup(_ int, key []byte) uintptr {
	node := t.lookup(key)
	if node == 0 {
		return 0
	}
	return t.elem(node) + t.value
}

func (t *trie) lookup(key []byte) uint32 {
	if u32(key) > t.max {
		return 0
	}
	for range 64 {
		seq := t.seq.Load()
		node, ok := t.longest(key)
		if ok && seq&1 == 0 && t.seq.Load() == seq {
			return node
		}
		runtime.Gosched()
	}
	t.mu.Lock() // writers are too many
	defer t.mu.Unlock()
	node, _ := t.longest(key)
	return node
}

// longest walks down along a key; false where prefixes do not grow, which only
// a walk through nodes that are being changed meets.
//
// A node shares with the key what the node above it does, so that the comparison
// goes on at the word where that ended.
func (t *trie) longest(key []byte) (found uint32, ok bool) {
	length, above := u32(key), int64(-1)
	data := key[4:]
	at, word := uint32(0), wordOf(data) // the first bit of the word to compare next, and the word
	node := t.root.Load()
	if length >= shortBits {
		short := atomic.LoadUint64(t.short(uint32(data[0])))
		node, found = uint32(short), uint32(short>>32)
	}
	for node != 0 {
		e := t.elem(node)
		prefix := loadU32(e + offPrefix)
		if int64(prefix) <= above {
			return 0, false
		}
		if prefix > length {
			break
		}
		for prefix-at >= 64 {
			if wordAt(e, at) != word {
				return found, true
			}
			at += 64
			word = wordOf(data[at/8:])
		}
		// A shift by 64 bits gives 0.
		if rest := prefix - at; rest != 0 && (wordAt(e, at)^word)>>(64-rest) != 0 {
			break
		}
		if loadU32(e+offKind) == entry {
			found = node
		}
		if prefix == length {
			break
		}
		above = int64(prefix)
		node = loadU32(e + uintptr(word>>(63-(prefix-at))&1)*4)
	}
	return found, true
}

// short is the place of a first byte in the table: a node, and above it the entry.
func (t *trie) short(first uint32) *uint64 {
	return (*uint64)(mem.At(t.mem.Addr() + uintptr(first)*8))
}

// settle makes the table true for the keys that a change of key may concern.
func (t *trie) settle(key []byte) {
	first, n := uint32(key[4]), uint32(1)
	if length := u32(key); length < shortBits {
		n = 1 << (shortBits - length)
		first &^= n - 1
	}
	for i := first; i < first+n; i++ {
		node, found := t.descendShort(uint64(i) << 56)
		atomic.StoreUint64(t.short(i), uint64(found)<<32|uint64(node))
	}
}

// descendShort walks down along the first 8 bits of word, to the first node that
// has them; 0 where there is none.
func (t *trie) descendShort(word uint64) (node, found uint32) {
	node = t.root.Load()
	for node != 0 {
		e := t.elem(node)
		prefix := loadU32(e + offPrefix)
		if (wordAt(e, 0)^word)>>(64-min(prefix, shortBits)) != 0 {
			return 0, found
		}
		if prefix >= shortBits {
			break
		}
		if loadU32(e+offKind) == entry {
			found = node
		}
		node = loadU32(e + uintptr(word>>(63-prefix)&1)*4)
	}
	return node, found
}

// wordOf is the first 64 bits of data, the most significant one first; zeroes
// behind its end.
func wordOf(data []byte) (word uint64) {
	switch {
	case len(data) >= 8:
		return binary.BigEndian.Uint64(data)
	case len(data) == 4:
		return uint64(binary.BigEndian.Uint32(data)) << 32
	}
	for i, b := range data {
		word |= uint64(b) << (56 - 8*i)
	}
	return word
}

// wordAt is 64 bits of the data of the node at e. What it reads behind the end of
// the data is still the node's.
func wordAt(e uintptr, bit uint32) uint64 {
	return binary.BigEndian.Uint64(mem.View(e+offPrefix+4+uintptr(bit/8), 8))
}
