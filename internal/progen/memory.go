package progen

import "github.com/skep-ebpf/skep/isa"

// area is memory that a held register points near to.
type area struct {
	base  uint8
	first int16 // offset of its first byte from base
	size  int   // bytes
	// stack says that it lies in a frame, where accesses have to be aligned.
	stack bool
	// plain refuses atomic accesses.
	plain bool
}

// sizes are the widths of an access by their bytes.
var sizes = map[int]uint8{1: isa.SizeB, 2: isa.SizeH, 4: isa.SizeW, 8: isa.SizeDW}

// place picks an access: its size and its offset from base. Unaligned ones are
// rarer than aligned.
func (g *gen) place(a area, min int, aligned bool) (size uint8, off int16) {
	n := pick(g, []int{1, 2, 4, 8})
	for n > a.size {
		n /= 2
	}
	n = max(n, min)
	at := g.rand.IntN(a.size - n + 1)
	if g.one(3) {
		at = a.size - n // the last bytes
	}
	if aligned || a.stack || !g.one(4) {
		for (int(a.first)+at)&(n-1) != 0 {
			if at--; at < 0 { // no such place: the narrowest access fits anywhere
				n, at = 1, 0
			}
		}
	}
	return sizes[n], a.first + int16(at)
}

// access adds one load, store or atomic operation.
func (g *gen) access(a area) {
	kinds := []func(*gen, area){loadReg, loadReg, loadSigned, storeReg, storeReg, storeAny, atomicOp, atomicOp, atomicOrdered}
	if a.plain || a.size < 8 {
		kinds = kinds[:6]
	}
	pick(g, kinds)(g, a)
}

func loadReg(g *gen, a area) {
	size, off := g.place(a, 1, false)
	g.load(size, g.reg(), a.base, off)
}

func loadSigned(g *gen, a area) {
	a.size = min(a.size, 4)
	size, off := g.place(a, 1, false)
	if size == isa.SizeDW {
		size = isa.SizeW
	}
	g.add(isa.Instruction{Op: isa.ClassLDX | isa.ModeMEMSX | size, Dst: g.reg(), Src: a.base, Off: off})
}

func storeReg(g *gen, a area) {
	size, off := g.place(a, 1, false)
	g.store(size, a.base, off, g.reg())
}

func storeAny(g *gen, a area) {
	size, off := g.place(a, 1, false)
	g.storeImm(size, a.base, off, g.imm())
}

var atomics = []int32{
	isa.AtomicADD, isa.AtomicOR, isa.AtomicAND, isa.AtomicXOR,
	isa.AtomicADD | isa.AtomicFetch, isa.AtomicOR | isa.AtomicFetch,
	isa.AtomicAND | isa.AtomicFetch, isa.AtomicXOR | isa.AtomicFetch,
	isa.AtomicXCHG, isa.AtomicCMPXCHG,
}

// atomicOp adds an operation that reads, modifies and writes.
func atomicOp(g *gen, a area) {
	op := pick(g, atomics)
	if op == isa.AtomicCMPXCHG && g.held&(1<<isa.R0) != 0 {
		op = isa.AtomicXCHG // it compares with R0, which is no number now
	}
	size, off := g.place(a, 4, true)
	src := g.reg()
	g.add(isa.Instruction{Op: isa.ClassSTX | isa.ModeATOMIC | size, Dst: a.base, Src: src, Off: off, Imm: op})
	if !a.stack || op&isa.AtomicFetch == 0 {
		return
	}
	if op == isa.AtomicCMPXCHG {
		src = isa.R0
	}
	g.forget(src)
}

// forget passes a register through memory, so that the verifier knows nothing of
// its value. What an atomic operation fetched from the stack needs that: Linux
// 6.18 loses track of where such a value came from, takes a state for one that it
// has seen, and removes code that runs.
func (g *gen) forget(r uint8) {
	g.held |= 1 << r
	p := g.hold()
	g.loadMap(p, isa.PseudoMapValue, g.mapOf(mapGlobal), 0)
	g.store(isa.SizeDW, p, 0, r)
	g.load(isa.SizeDW, r, p, 0)
	g.held &^= 1 << r
	g.release(1 << p)
}

// atomicOrdered adds a load-acquire or a store-release.
func atomicOrdered(g *gen, a area) {
	size, off := g.place(a, 1, true)
	i := isa.Instruction{Op: isa.ClassSTX | isa.ModeATOMIC | size, Dst: a.base, Src: g.reg(), Off: off, Imm: isa.AtomicStoreRl}
	if g.one(2) {
		i.Dst, i.Src, i.Imm = i.Src, i.Dst, isa.AtomicLoadAcq
	}
	g.add(i)
}

// stack accesses the data slots.
func (g *gen) stack() {
	g.access(area{base: isa.R10, first: g.f.low(), size: g.f.data, stack: true})
}

// dataAt gives the offset of n bytes of the data slots, aligned to 8.
func (g *gen) dataAt(n int) int32 {
	return int32(g.f.low()) + 8*int32(g.rand.IntN((g.f.data-n)/8+1))
}

// pointer makes a register point to off in this function's frame.
func (g *gen) pointer(r uint8, off int32) {
	g.movReg(r, isa.R10)
	g.aluImm(isa.AluADD, r, off)
	g.held |= 1 << r
}

func hasMem(g *gen) bool { return g.f.base == baseMem }

// argument accesses the memory that the caller passed.
func (g *gen) argument() {
	r := g.hold()
	g.load(isa.SizeDW, r, isa.R10, slotBase)
	for range 1 + g.rand.IntN(3) {
		g.access(area{base: r, size: memBytes, stack: true})
	}
	g.release(1 << r)
}
