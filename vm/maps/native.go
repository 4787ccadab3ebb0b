package maps

import "unsafe"

// Layout is what native code may rely on to find a map's values without Go: the
// value of number i that a CPU sees lies at
//
//	Values + i*Stride + cpu*Row
//
// where Row is 0 unless the map is per-CPU. It does not change while the map is
// open.
type Layout struct {
	Values, Stride, Row uintptr
	// Handles says that a lookup gives what the value is, a map's handle.
	Handles bool
	// N is how many numbers an array has, which are its keys, from 0. 0: Hash or Trie
	// has the numbers.
	N    uint32
	Hash HashLayout
	Trie *TrieLayout
}

// TrieLayout is how to find the number of a key's longest prefix in a trie as trie.go
// describes it.
type TrieLayout struct {
	// Control is the address of the trie's lock; the root's number is behind that.
	Control uintptr
	KeySize int
	// Elems and ElemStride say where nodes are: number i at Elems + i*ElemStride.
	Elems, ElemStride uintptr
	// Heads are the tables, narrower ones first: their first bits and their address.
	Heads []TrieHead
}

// TrieHead is a table of a trie, as trieheads.go describes it: for each value of the
// first Bits bits 8 bytes, whose lower half is a node and whose upper half an entry.
type TrieHead struct {
	Bits uint32
	Base uintptr
}

// HashLayout is how to find a key's number in a hash table as table.go describes
// it, by the rules that readers keep there.
type HashLayout struct {
	Buckets uintptr
	Mask    uint32 // of the bucket in a hash
	Links   uint32 // of the number in a tagged link
	Seed    uint64
	KeySize int
	// Elems and ElemStride say where elements are: number i at Elems + i*ElemStride.
	Elems, ElemStride uintptr
	// Touch says that who finds an element marks it as used.
	Touch bool
}

// Native gives the layout of a map; false where lookups are only for Go.
func Native(m Map) (Layout, bool) {
	switch m := m.(type) {
	case *array:
		return Layout{Values: m.base, Stride: m.stride, Row: m.row, N: m.n}, true
	case *arrayOfMaps:
		return Layout{Values: m.mem.Addr(), Stride: 4, N: m.info.MaxEntries, Handles: true}, true
	case *hash:
		return m.native(), true
	case *lru:
		l := m.native()
		l.Hash.Touch = true
		return l, true
	case *hashOfMaps:
		l := m.native()
		l.Handles = true
		return l, true
	case *trie:
		return m.native(), true
	}
	return Layout{}, false
}

func (t *trie) native() Layout {
	l := &TrieLayout{Control: t.mem.Addr(), KeySize: t.size + 4, Elems: t.elems, ElemStride: t.stride}
	for _, h := range t.heads {
		l.Heads = append(l.Heads, TrieHead{h.bits, h.base})
	}
	return Layout{Values: t.elems + t.value, Stride: t.stride, Trie: l}
}

// NativeTargets gives the layout of a devmap: values of struct bpf_devmap_val, whose
// first word is 0 where there is none. False for other maps.
func NativeTargets(m Map) (Layout, bool) {
	d, ok := m.(*devMap)
	if !ok {
		return Layout{}, false
	}
	return Layout{Values: d.info.Values.Base, Stride: targetStride, N: d.info.MaxEntries}, true
}

func (t *table) native() Layout {
	return Layout{Values: t.values, Stride: t.valueStride, Row: t.row, Hash: HashLayout{
		Buckets: t.buckets, Mask: t.mask, Links: t.links, Seed: t.seed, KeySize: t.keySize,
		Elems: t.elems, ElemStride: t.stride,
	}}
}

// Of a hash table's buckets and elements, in bytes.
const (
	BucketLen   = bucketLen
	BucketSlots = offSlots  // where the slots begin; the lock is before them
	SlotCount   = slotCount // how many there are; the rest's link is behind them
	ElemState   = offState
	ElemKey     = offKey
	// ElemLinked and ElemUsed are the states of an element that is in a bucket: as
	// it is, and after it was used.
	ElemLinked = linked
	ElemUsed   = linked | referenced
)

// Of a trie's control and nodes, in bytes. A node begins with its children.
const (
	TrieRoot   = unsafe.Offsetof(trieControl{}.root)
	NodeKind   = offKind
	NodePrefix = offPrefix // the data is behind it
	// NodeEntry is the kind of a node that a key ends at.
	NodeEntry = entry
)

// Factors of the hash function; hashfn.go has it.
const (
	Mix0 = mix0
	Mix1 = mix1
	Mix2 = mix2
)
