package ir

import "github.com/skep-ebpf/skep/vm/maps"

// maxNativeKey is the longest key that is looked up in a hash table without Go, in
// bytes.
const maxNativeKey = 64

// undecided is what a routine gives that met a writer: Go must look. It is neither an
// address nor a handle.
const undecided = ^uint64(0)

// lookup writes the routine that looks a key up in one map's hash table. R2 is the
// address of the key, and R0 becomes what the helper gives, or undecided.
//
// It follows table.go in vm/maps: what it reads of a bucket and its elements is true
// if the bucket's lock says before and after that no writer was there. A processor
// takes no load before a LoadAcquire in front of it, and no load before the one that
// gives its address, so that all is read between those two.
type lookup struct {
	*builder
	layout maps.Layout
	elem   Var   // a tagged link, then a link, then the address of the element
	link   Var   // the link, where that is needed to the end
	temp   Var   // what was loaded to be compared
	fails  int32 // gives undecided
}

// What other variables hold once the hash is known.
const (
	lookupAt      Var = 0 // a slot's offset in the bucket
	lookupWord    Var = 1 // the key, if it is one word; otherwise a part of it
	lookupKey     Var = 2
	lookupTag     Var = 3
	lookupBucket  Var = 4
	lookupVersion Var = 5
)

// newLookup gives the routine for a map.
func newLookup(m maps.Map, layout maps.Layout) *Func {
	f := &Func{
		Name: "lookup " + m.Info().Name, Entry: -1, Vars: FirstFree, Params: 2,
		Touches: []Touch{{Arg: lookupKey, Size: int32(layout.Hash.KeySize), Length: None}},
	}
	l := lookup{builder: &builder{f: f, from: -1}, layout: layout, elem: f.NewVar(), temp: f.NewVar(), link: None}
	if layout.Row != 0 {
		l.link = f.NewVar()
	}
	l.fails = l.block()
	l.begin(l.block())
	l.hash()
	l.search()
	l.beginCold(l.fails)
	l.constant(0, undecided)
	l.ret()
	l.finish()
	return f
}

// hash makes R0 the hash of the key, as hashfn.go does.
func (l *lookup) hash() {
	h := &l.layout.Hash
	if l.word() {
		l.load(Load, lookupWord, lookupKey, 0, h.KeySize)
		l.imm(Xor, 0, lookupWord, h.Seed^maps.Mix0)
		l.constant(3, maps.Mix1)
		l.fold(0, 3)
		return
	}
	l.constant(0, h.Seed^uint64(h.KeySize)*maps.Mix0)
	at, rest := 0, h.KeySize
	for ; rest > 16; at, rest = at+16, rest-16 {
		l.load(Load, 1, lookupKey, at, 8)
		l.load(Load, 3, lookupKey, at+8, 8)
		l.mix()
	}
	l.tail(at, rest)
	l.mix()
	l.constant(3, maps.Mix2)
	l.fold(0, 3)
}

// word reports whether the key is one word, which has a hash function of its own.
func (l *lookup) word() bool { return l.layout.Hash.KeySize == 4 || l.layout.Hash.KeySize == 8 }

// fold makes a both halves of a * c, folded.
func (l *lookup) fold(a, c Var) {
	l.op(MulHi, 4, a, c)
	l.op(Mul, 0, a, c)
	l.op(Xor, 0, 0, 4)
}

// mix mixes R1 and R3 into the hash.
func (l *lookup) mix() {
	l.imm(Xor, 1, 1, maps.Mix1)
	l.op(Xor, 3, 3, 0)
	l.fold(1, 3)
}

// tail loads the key's last 1 to 16 bytes into R1 and R3.
func (l *lookup) tail(at, n int) {
	switch {
	case n >= 4:
		width := 4
		if n >= 8 {
			width = 8
		}
		l.load(Load, 1, lookupKey, at, width)
		l.load(Load, 3, lookupKey, at+n-width, width)
	default:
		l.load(Load, 1, lookupKey, at, 1)
		for i, byteAt := range [2]int{n / 2, n - 1} {
			l.load(Load, 3, lookupKey, at+byteAt, 1)
			l.imm(Shl, 3, 3, uint64(8*(i+1)))
			l.op(Or, 1, 1, 3)
		}
		l.constant(3, 0)
	}
}

// search finds the element and gives the result: first in the slot that the hash
// tries first, then in all. Elements without a slot are for Go.
func (l *lookup) search() {
	h := &l.layout.Hash
	scan, loop, next := l.block(), l.block(), l.block()
	found := l.block()
	l.imm4(And, lookupBucket, 0, h.Mask)
	l.scale(lookupBucket, lookupBucket, maps.BucketLen)
	l.imm(Add, lookupBucket, lookupBucket, uint64(h.Buckets))
	l.imm4(And, lookupTag, 0, ^h.Links)
	l.load(LoadAcquire, lookupVersion, lookupBucket, 0, 4)
	l.branch(Cold, TestSet, lookupVersion, None, 1, l.fails)

	l.add(Ins{Op: Zext, Size: 8, Width: 4, Dst: 0, A: 0, B: None, C: None})
	l.imm(Mul, 0, 0, maps.SlotCount)
	l.imm(Shr, 0, 0, 32)
	l.add(Ins{Op: Load, Width: 4, Dst: l.elem, A: lookupBucket, B: 0, N: 2, C: None, Off: maps.BucketSlots})
	l.compare(scan)
	l.jump(found)
	l.begin(found)
	l.unchanged()
	l.result()

	l.begin(scan)
	l.constant(lookupAt, maps.BucketSlots)
	l.jump(loop)
	l.begin(loop)
	l.op(Add, l.elem, lookupBucket, lookupAt)
	l.load(LoadAcquire, l.elem, l.elem, 0, 4)
	l.compare(next)
	l.jump(found)
	l.begin(next)
	const rest = maps.BucketSlots + 4*maps.SlotCount
	l.imm(Add, lookupAt, lookupAt, 4)
	l.branch(0, Ne, lookupAt, None, rest, loop)
	l.load(LoadAcquire, l.temp, lookupBucket, rest, 4)
	l.branch(Cold, TestSet, l.temp, None, uint64(h.Links), l.fails)
	l.unchanged()
	l.constant(0, 0)
	l.ret()
}

// compare goes on if a tagged link leads to the key's element, and else to a block.
func (l *lookup) compare(other int32) {
	h := &l.layout.Hash
	l.op(Xor, l.elem, l.elem, lookupTag)
	l.branch(0, Ugt, l.elem, None, uint64(h.Links), other) // another tag
	l.branch(0, Eq, l.elem, None, 0, other)
	if l.link != None {
		l.mov(l.link, l.elem)
	}
	l.scale(l.elem, l.elem, uint64(h.ElemStride))
	l.imm(Add, l.elem, l.elem, uint64(h.Elems))
	for at, width := 0, 0; at < h.KeySize; at += width {
		for width = 8; width > h.KeySize-at; width /= 2 {
		}
		if !l.word() {
			l.load(Load, lookupWord, lookupKey, at, width)
		}
		l.load(LoadAcquire, l.temp, l.elem, maps.ElemKey+at, width)
		l.branch(0, Ne, l.temp, lookupWord, 0, other)
	}
}

// unchanged goes on if no writer was there since the version was read.
func (l *lookup) unchanged() {
	l.load(LoadAcquire, l.temp, lookupBucket, 0, 4)
	l.branch(Cold, Ne, l.temp, lookupVersion, 0, l.fails)
}

// result gives the element's value.
func (l *lookup) result() {
	h := &l.layout.Hash
	if h.Touch {
		l.touch()
	}
	if l.link == None {
		l.imm(Add, 0, l.elem, uint64(l.layout.Values-h.Elems))
	} else {
		l.scale(0, l.link, uint64(l.layout.Stride))
		l.imm(Add, 0, 0, uint64(l.layout.Values))
		l.cpu(1)
		l.scale(1, 1, uint64(l.layout.Row))
		l.op(Add, 0, 0, 1)
	}
	if l.layout.Handles {
		l.load(Load, 0, 0, 0, 4)
	}
	l.ret()
}

// touch marks the element as used, if it is still in a bucket.
func (l *lookup) touch() {
	done := l.block()
	l.load(Load, 0, l.elem, maps.ElemState, 4)
	l.branch(0, Ne, 0, None, maps.ElemLinked, done)
	l.constant(1, maps.ElemUsed)
	l.add(Ins{Op: Cmpxchg, Width: 4, Dst: 0, A: l.elem, B: 0, C: 1, Off: maps.ElemState})
	l.jump(done)
	l.begin(done)
}
