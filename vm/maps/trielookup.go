package maps

import (
	"encoding/binary"
	"runtime"

	"github.com/skep-ebpf/skep/internal/errno"
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
		version, free := t.lock.begin()
		if node, ok := t.longest(key); ok && free && t.lock.unchanged(version) {
			return node
		}
		runtime.Gosched()
	}
	t.lock.lock() // writers are too many
	defer t.lock.unlock()
	node, _ := t.longest(key)
	return node
}

func (t *trie) userLookup(key, value []byte, flags uint64) error {
	if u32(key) > t.max {
		return errno.ENOENT
	}
	for range 4 {
		version, free := t.lock.begin()
		node, ok := t.longest(key)
		if node != 0 {
			t.read(value, t.elem(node)+t.value, flags)
		}
		if !ok || !free || !t.lock.unchanged(version) {
			continue
		}
		if node == 0 {
			return errno.ENOENT
		}
		return nil
	}
	t.lock.lock()
	defer t.lock.unlock()
	node, _ := t.longest(key)
	if node == 0 {
		return errno.ENOENT
	}
	t.read(value, t.elem(node)+t.value, flags)
	return nil
}

// longest walks down along a key; false where prefixes do not grow, which only
// a walk through nodes that are being changed meets.
//
// A node shares with the key what the node above it does, so that the comparison
// goes on at the word where that ended.
func (t *trie) longest(key []byte) (found uint32, ok bool) {
	length, above := u32(key), int64(-1)
	data := key[4:]
	first := wordOf(data)
	at, word := uint32(0), first // the first bit of the word to compare next, and the word
	node := uint32(0)
	head := t.headsFor(length)
	if head < 0 {
		node = t.root.Load()
	} else {
		node, found = t.heads[head].get(first)
	}
walk:
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
				break walk
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
	for ; found == 0 && head > 0; head-- { // the entries above are in narrower tables
		_, found = t.heads[head-1].get(first)
	}
	return found, true
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
