package ir

import "github.com/skep-ebpf/skep/vm/maps"

// prefixLookup writes the routine that finds the longest prefix of a key in one trie.
// R2 is the address of the key, and R0 becomes what the helper gives, or undecided.
//
// It follows trielookup.go in vm/maps, and believes what it read on the same condition
// as a [lookup].
type prefixLookup struct {
	*builder
	layout maps.Layout
	words  int // of 4 bytes, in the key

	node    Var // a link, and the address there
	elem    Var
	prefix  Var // of the node, in bits
	above   Var // that of the node above
	at, bit Var // the first bit of the word that is compared, and of the prefix in there
	word    Var // of the key, the most significant byte first
	temp    Var

	fails, ended int32
}

// What other variables hold.
const (
	prefixFound   Var = 0 // the last entry, so far
	prefixLength  Var = 1 // of the key, in bits
	prefixKey     Var = 2
	prefixVersion Var = 5
)

// prefixWords is how many words the keys of a trie have; 0 where that is for Go.
func prefixWords(l *maps.Layout) int {
	if size := l.Trie.KeySize - 4; size%4 == 0 {
		return size / 4
	}
	return 0
}

// newPrefixLookup gives the routine for a trie.
func newPrefixLookup(m maps.Map, layout maps.Layout) *Func {
	f := &Func{
		Name: "lookup " + m.Info().Name, Entry: -1, Vars: FirstFree, Params: 2,
		Touches: []Touch{{Arg: prefixKey, Size: int32(layout.Trie.KeySize), Length: None}},
	}
	l := prefixLookup{
		builder: &builder{f: f, from: -1}, layout: layout, words: prefixWords(&layout),
		word: 3, elem: 4, node: f.NewVar(), prefix: f.NewVar(), above: f.NewVar(), temp: f.NewVar(),
	}
	l.at, l.bit = None, l.prefix
	if l.words > 1 {
		l.at, l.bit = f.NewVar(), f.NewVar()
	}
	none := l.block()
	l.fails, l.ended = l.block(), l.block()
	l.begin(l.block())
	l.load(Load, prefixLength, prefixKey, 0, 4)
	l.branch(Cold, Ugt, prefixLength, None, uint64(32*l.words), none)
	l.control(prefixVersion, 0)
	l.branch(Cold, TestSet, prefixVersion, None, 1, l.fails)
	l.keyWord(0)
	l.first()
	l.walk()
	l.begin(l.ended)
	l.result(none)
	l.begin(none)
	l.constant(0, 0)
	l.ret()
	l.beginCold(l.fails)
	l.constant(0, undecided)
	l.ret()
	l.finish()
	return f
}

// control makes v the lock's word, or that at an offset behind it.
func (l *prefixLookup) control(v Var, off uintptr) {
	l.constant(v, uint64(l.layout.Trie.Control))
	l.load(LoadAcquire, v, v, int(off), 4)
}

// keyWord makes word the one at an offset of the key's data.
func (l *prefixLookup) keyWord(off int) {
	l.load(Load, l.word, prefixKey, 4+off, 4)
	l.swap(l.word)
}

// swap turns 4 bytes round.
func (l *prefixLookup) swap(v Var) {
	l.add(Ins{Op: Bswap, Size: 8, Width: 4, Dst: v, A: v, B: None, C: None})
}

// first makes node where the walk begins, and found the entry above it: the widest
// table has them of whose bits the key has as many.
func (l *prefixLookup) first() {
	walk := l.block()
	for i := len(l.layout.Trie.Heads) - 1; i >= 0; i-- {
		narrower := l.block()
		l.branch(0, Ult, prefixLength, None, uint64(l.layout.Trie.Heads[i].Bits), narrower)
		l.head(i, l.temp)
		l.add(Ins{Op: Zext, Size: 8, Width: 4, Dst: l.node, A: l.temp, B: None, C: None})
		l.imm(Shr, prefixFound, l.temp, 32)
		l.jump(walk)
		l.begin(narrower)
	}
	l.control(l.node, maps.TrieRoot)
	l.constant(prefixFound, 0)
	l.jump(walk)
	l.begin(walk)
}

// head makes v what a table has of the key's first bits.
func (l *prefixLookup) head(i int, v Var) {
	h := l.layout.Trie.Heads[i]
	l.imm(Shr, v, l.word, uint64(32-h.Bits))
	l.imm(Shl, v, v, 3)
	l.imm(Add, v, v, uint64(h.Base))
	l.load(LoadAcquire, v, v, 0, 8)
}

// walk goes down along the key. Prefixes grow, but for a walk through nodes that are
// being changed.
func (l *prefixLookup) walk() {
	loop, equal, next := l.block(), l.block(), l.block()
	l.constant(l.above, ^uint64(0))
	if l.words > 1 {
		l.constant(l.at, 0)
	}
	l.jump(loop)
	l.begin(loop)
	l.branch(0, Eq, l.node, None, 0, l.ended)
	l.scale(l.elem, l.node, uint64(l.layout.Trie.ElemStride))
	l.imm(Add, l.elem, l.elem, uint64(l.layout.Trie.Elems))
	l.load(LoadAcquire, l.prefix, l.elem, maps.NodePrefix, 4)
	l.branch(Cold, Sle, l.prefix, l.above, 0, l.fails)
	l.branch(0, Ugt, l.prefix, prefixLength, 0, l.ended)
	if l.words == 1 {
		l.load(LoadAcquire, l.temp, l.elem, maps.NodePrefix+4, 4)
	} else {
		l.wholeWords(equal)
	}
	l.swap(l.temp)
	l.op(Xor, l.above, l.temp, l.word)
	l.constant(l.temp, 32)
	l.op(Sub, l.temp, l.temp, l.bit)
	l.op(Shr, l.above, l.above, l.temp)
	l.branch(0, Ne, l.above, None, 0, l.ended)
	l.jump(equal)
	l.begin(equal)
	l.load(LoadAcquire, l.temp, l.elem, maps.NodeKind, 4)
	l.branch(0, Ne, l.temp, None, maps.NodeEntry, next)
	l.mov(prefixFound, l.node)
	l.jump(next)
	l.begin(next)
	l.branch(0, Eq, l.prefix, prefixLength, 0, l.ended)
	l.mov(l.above, l.prefix)
	l.imm(Xor, l.temp, l.bit, 31) // 31 - bit
	l.op(Shr, l.temp, l.word, l.temp)
	l.imm(And, l.temp, l.temp, 1)
	l.imm(Shl, l.temp, l.temp, 2)
	l.op(Add, l.temp, l.temp, l.elem)
	l.load(LoadAcquire, l.node, l.temp, 0, 4)
	l.jump(loop)
}

// wholeWords compares the words that the prefix has all of, and leaves the next one of
// the node in temp, and of the key in word. Where there is none it goes to the block
// equal.
func (l *prefixLookup) wholeWords(equal int32) {
	loop, rest := l.block(), l.block()
	l.jump(loop)
	l.begin(loop)
	l.branch(0, Eq, l.at, None, uint64(32*l.words), equal)
	l.imm(Shr, l.temp, l.at, 3)
	l.op(Add, l.word, l.temp, prefixKey)
	l.load(Load, l.word, l.word, 4, 4)
	l.op(Add, l.temp, l.temp, l.elem)
	l.load(LoadAcquire, l.temp, l.temp, maps.NodePrefix+4, 4)
	l.op(Sub, l.bit, l.prefix, l.at)
	l.branch(0, Ult, l.bit, None, 32, rest)
	l.branch(0, Ne, l.temp, l.word, 0, l.ended)
	l.imm(Add, l.at, l.at, 32)
	l.jump(loop)
	l.begin(rest)
	l.swap(l.word)
}

// result gives the value of the entry that was found, or else of that above in
// narrower tables.
func (l *prefixLookup) result(none int32) {
	done := l.block()
	l.branch(0, Ne, prefixFound, None, 0, done)
	l.keyWord(0)
	for i := len(l.layout.Trie.Heads) - 1; i > 0; i-- {
		narrower := l.block()
		l.branch(0, Ult, prefixLength, None, uint64(l.layout.Trie.Heads[i].Bits), narrower)
		l.head(i-1, l.temp)
		l.imm(Shr, prefixFound, l.temp, 32)
		l.branch(0, Ne, prefixFound, None, 0, done)
		l.jump(narrower)
		l.begin(narrower)
	}
	l.jump(done)
	l.begin(done)
	l.control(l.temp, 0)
	l.branch(Cold, Ne, l.temp, prefixVersion, 0, l.fails)
	l.branch(0, Eq, prefixFound, None, 0, none)
	l.scale(0, prefixFound, uint64(l.layout.Stride))
	l.imm(Add, 0, 0, uint64(l.layout.Values))
	l.ret()
}
