package progen

import (
	"encoding/binary"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/maps"
)

// mapKind is a map that a case has once it refers to it.
type mapKind struct {
	name           string
	typ            ebpf.MapType
	key, val, size uint32
	flags          uint32
	// fill gives the initial contents.
	fill func(*gen, *mapKind) []Entry
	// putKey writes code that makes a key at slotKey.
	putKey func(*gen, *mapKind)
}

const globalBytes = 128

var (
	// mapGlobal is where numbers come from, mapResult where they go.
	mapGlobal = &mapKind{name: "global", typ: ebpf.Array, key: 4, val: globalBytes, size: 1, fill: fillIndex}
	mapResult = &mapKind{name: "result", typ: ebpf.Array, key: 4, val: resultBytes, size: 1}
	// mapText holds the strings that helpers want to be constant.
	mapText = &mapKind{name: "text", typ: ebpf.Array, key: 4, val: uint32(len(text)), size: 1, flags: maps.FlagRdonlyProg, fill: fillText}
	// mapProgs holds another program, the case's own, and nothing at 0.
	mapProgs = &mapKind{name: "progs", typ: ebpf.ProgramArray, key: 4, val: 4, size: 4, fill: fillProgs}
)

// dataMaps are the maps that programs look up, update and delete from. Their
// sizes are smaller than the number of keys in use, but for the LRU map, which
// must evict nothing.
var dataMaps = []*mapKind{
	{name: "array", typ: ebpf.Array, key: 4, val: 20, size: 4, fill: fillIndex, putKey: putNumber},
	{name: "hash", typ: ebpf.Hash, key: 4, val: 24, size: 5, fill: fillSome, putKey: putNumber},
	{name: "hash_alloc", typ: ebpf.Hash, key: 8, val: 13, size: 6, flags: maps.FlagNoPrealloc, fill: fillSome, putKey: putNumber},
	{name: "percpu_array", typ: ebpf.PerCPUArray, key: 4, val: 12, size: 3, fill: fillIndex, putKey: putNumber},
	{name: "percpu_hash", typ: ebpf.PerCPUHash, key: 4, val: 16, size: 5, fill: fillSome, putKey: putNumber},
	{name: "lru", typ: ebpf.LRUHash, key: 4, val: 8, size: 512, fill: fillSome, putKey: putNumber},
	{name: "lpm", typ: ebpf.LPMTrie, key: 8, val: 8, size: 6, flags: maps.FlagNoPrealloc, fill: fillPrefixes, putKey: putPrefix},
}

// queues are maps without keys. What is left in them is not compared, as user
// space can only take it out.
var queues = []*mapKind{
	{name: "queue", typ: ebpf.Queue, val: 12, size: 3, fill: fillQueue},
	{name: "stack", typ: ebpf.Stack, val: 16, size: 3, fill: fillQueue},
}

// mapOf gives the index of a map in the case.
func (g *gen) mapOf(k *mapKind) int {
	if i := slices.IndexFunc(g.c.Maps, func(m Map) bool { return m.Name == k.name }); i >= 0 {
		return i
	}
	m := Map{
		Name: k.name, Type: k.typ, KeySize: k.key, ValueSize: k.val, MaxEntries: k.size,
		Flags: k.flags, Frozen: k.flags&maps.FlagRdonlyProg != 0,
	}
	if k.fill != nil {
		m.Entries = k.fill(g, k)
	}
	g.c.Maps = append(g.c.Maps, m)
	return len(g.c.Maps) - 1
}

// number gives n as a key.
func (k *mapKind) number(n uint32) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, n), make([]byte, k.key-4)...)
}

// fillIndex fills an array.
func fillIndex(g *gen, k *mapKind) []Entry {
	var es []Entry
	for i := range k.size {
		es = append(es, Entry{k.number(i), g.bytes(int(k.val))})
	}
	return es
}

// fillSome puts a few keys into a hash.
func fillSome(g *gen, k *mapKind) []Entry {
	var es []Entry
	for i := range min(k.size, 8) {
		if g.one(2) {
			es = append(es, Entry{k.number(i), g.bytes(int(k.val))})
		}
	}
	return es
}

// fillQueue puts up to two values into a queue.
func fillQueue(g *gen, k *mapKind) []Entry {
	var es []Entry
	for range g.rand.IntN(3) {
		es = append(es, Entry{Value: g.bytes(int(k.val))})
	}
	return es
}

// addresses are those that prefixes in a trie are of.
var addresses = []uint32{0x0000000a, 0x0100000a, 0x0001000a, 0x010000ac, 0xffffffff, 0}

// fillPrefixes puts a few prefixes into a trie.
func fillPrefixes(g *gen, k *mapKind) []Entry {
	var es []Entry
	for bits := uint32(0); bits <= 32; bits += 8 {
		if g.one(2) {
			key := binary.LittleEndian.AppendUint32(nil, bits)
			key = binary.LittleEndian.AppendUint32(key, pick(g, addresses))
			es = append(es, Entry{key, g.bytes(int(k.val))})
		}
	}
	return es
}

func fillText(*gen, *mapKind) []Entry { return []Entry{{make([]byte, 4), []byte(text)}} }

func fillProgs(_ *gen, k *mapKind) []Entry {
	return []Entry{{k.number(1), k.number(1)}, {k.number(2), k.number(0)}, {k.number(3), k.number(1)}}
}

// putNumber makes a small number the key.
func putNumber(g *gen, k *mapKind) {
	r := g.reg()
	g.aluImm(isa.AluAND, r, pick(g, []int32{1, 3, 7, 15}))
	size := uint8(isa.SizeW)
	if k.key == 8 {
		size = isa.SizeDW
	}
	g.store(size, isa.R10, slotKey, r)
}

// putPrefix makes a prefix the key, sometimes one that is too long.
func putPrefix(g *gen, _ *mapKind) {
	if g.one(2) {
		g.storeImm(isa.SizeW, isa.R10, slotKey, pick(g, []int32{0, 7, 8, 9, 16, 24, 31, 32, 33}))
	} else {
		r := g.reg()
		g.aluImm(isa.AluAND, r, 0x38)
		g.store(isa.SizeW, isa.R10, slotKey, r)
	}
	g.storeImm(isa.SizeW, isa.R10, slotKey+4, int32(pick(g, addresses)))
}

// mapArgs makes R1 the map and R2 the key.
func (g *gen) mapArgs(k *mapKind) {
	k.putKey(g, k)
	g.loadMap(isa.R1, isa.PseudoMapFD, g.mapOf(k), 0)
	g.held |= 1 << isa.R1
	g.pointer(isa.R1+1, slotKey)
}

// mapLookup looks a value up and accesses it, in a per-CPU map sometimes by the
// number of a CPU. Of the CPUs every machine has only the first.
func (g *gen) mapLookup() {
	k := pick(g, dataMaps)
	g.mapArgs(k)
	if (k.typ == ebpf.PerCPUHash || k.typ == ebpf.PerCPUArray) && g.one(2) {
		g.movImm(isa.R1+2, pick(g, []int32{0, 0, 0, 1 << 20, -1}))
		g.callHelper(fnMapLookupPerCPU)
	} else {
		g.callHelper(fnMapLookup)
	}
	g.held |= callerSaved | 1<<isa.R0
	skip := g.jump(isa.Instruction{Op: isa.ClassJMP | isa.JmpJEQ, Dst: isa.R0})
	a := area{base: isa.R0, size: int(k.val)}
	if g.one(4) {
		// A number that only a mask bounds moves the pointer.
		mask := int32(pick(g, []int{1, 3, 7})) & int32(k.val-1)
		r := g.reg()
		g.aluImm(isa.AluAND, r, mask)
		g.aluReg(isa.AluADD, isa.R0, r)
		a.size, a.plain = a.size-int(mask), true
	}
	for range 1 + g.rand.IntN(4) {
		g.access(a)
	}
	g.land(skip)
	g.release(callerSaved | 1<<isa.R0)
}

// mapUpdate updates a value from the stack.
func (g *gen) mapUpdate() {
	k := pick(g, dataMaps)
	g.mapArgs(k)
	g.pointer(isa.R1+2, g.dataAt(int(k.val)))
	g.movImm(isa.R1+3, pick(g, []int32{
		maps.UpdateAny, maps.UpdateAny, maps.UpdateNoExist, maps.UpdateExist, maps.UpdateNoExist | maps.UpdateExist, maps.FlagLock, 8,
	}))
	g.callHelper(fnMapUpdate)
	g.release(callerSaved)
}

// mapDelete deletes a key.
func (g *gen) mapDelete() {
	g.mapArgs(pick(g, dataMaps))
	g.callHelper(fnMapDelete)
	g.release(callerSaved)
}

// queue pushes a value from the stack, or takes or reads one into it.
func (g *gen) queue() {
	k := pick(g, queues)
	g.loadMap(isa.R1, isa.PseudoMapFD, g.mapOf(k), 0)
	g.held |= 1 << isa.R1
	g.pointer(isa.R1+1, g.dataAt(int(k.val)))
	fn := pick(g, []int32{fnMapPush, fnMapPop, fnMapPeek})
	if fn == fnMapPush {
		g.movImm(isa.R1+2, pick(g, []int32{maps.UpdateAny, maps.UpdateAny, maps.UpdateExist, maps.UpdateNoExist}))
	}
	g.callHelper(fn)
	g.release(callerSaved)
}

// global accesses the map of numbers without a look-up.
func (g *gen) global() {
	r := g.hold()
	off := 8 * g.rand.IntN(globalBytes/8)
	g.loadMap(r, isa.PseudoMapValue, g.mapOf(mapGlobal), int32(off))
	for range 1 + g.rand.IntN(3) {
		g.access(area{base: r, first: int16(-off), size: globalBytes})
	}
	g.release(1 << r)
}
