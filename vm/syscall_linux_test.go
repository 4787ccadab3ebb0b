package vm_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/vm"
)

// A sysStep is one bpf_sys_bpf of a program: attributes, in which some fields are
// made addresses of the program's memory, and others what a step before returned.
type sysStep struct {
	cmd  uint32
	attr []byte
	ptrs map[int]int // from a place in attr to one in memory
	fds  map[int]int // from a place in attr to a step
	size int         // of the attributes as the call says; 0: len(attr)
}

func (s sysStep) String() string {
	return fmt.Sprintf("command %d, size %d, pointers %v, descriptors of %v, attributes %x", s.cmd, s.size, s.ptrs, s.fds, s.attr)
}

// The memory of such a program: results, the attributes of the step, what they
// point to.
const (
	sysResults = 0
	sysAttr    = 1024
	sysMemory  = 1024 + 8192
	sysBytes   = sysMemory + 8192
	maxSteps   = 64
)

// sysProgram makes the steps one after the other, leaves what they return in its
// memory, and closes what they opened.
func sysProgram(steps []sysStep, memory []byte) *ebpf.CollectionSpec {
	insns := asm.Instructions{
		asm.LoadMapValue(asm.R6, 0, 0).WithReference("memory"),
	}
	for i, s := range steps {
		for at := 0; at < max(len(s.attr), 176); at += 4 {
			var word [4]byte
			copy(word[:], s.attr[min(at, len(s.attr)):])
			insns = append(insns, asm.StoreImm(asm.R6, int16(sysAttr+at), int64(int32(binary.NativeEndian.Uint32(word[:]))), asm.Word))
		}
		for at, off := range s.ptrs {
			insns = append(insns, asm.Mov.Reg(asm.R1, asm.R6), asm.Add.Imm(asm.R1, int32(sysMemory+off)),
				asm.StoreMem(asm.R6, int16(sysAttr+at), asm.R1, asm.DWord))
		}
		for at, step := range s.fds {
			insns = append(insns, asm.LoadMem(asm.R1, asm.R6, int16(sysResults+8*step), asm.DWord),
				asm.StoreMem(asm.R6, int16(sysAttr+at), asm.R1, asm.Word))
		}
		size := s.size
		if size == 0 {
			size = len(s.attr)
		}
		insns = append(insns,
			asm.Mov.Imm(asm.R1, int32(s.cmd)), asm.Mov.Reg(asm.R2, asm.R6), asm.Add.Imm(asm.R2, sysAttr),
			asm.Mov.Imm(asm.R3, int32(size)), asm.FnSysBpf.Call(),
			asm.StoreMem(asm.R6, int16(sysResults+8*i), asm.R0, asm.DWord))
	}
	for i := range steps {
		next := fmt.Sprintf("next%d", i)
		insns = append(insns,
			asm.LoadMem(asm.R1, asm.R6, int16(sysResults+8*i), asm.DWord),
			asm.JSLE.Imm(asm.R1, 0, next), asm.FnSysClose.Call(),
			asm.Mov.Imm(asm.R0, 0).WithSymbol(next))
	}
	value := make([]byte, sysBytes)
	copy(value[sysMemory:], memory)
	return &ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{"memory": {
			Name: "memory", Type: ebpf.Array, KeySize: 4, ValueSize: sysBytes, MaxEntries: 1,
			Contents: []ebpf.MapKV{{Key: uint32(0), Value: value}},
		}},
		Programs: map[string]*ebpf.ProgramSpec{"calls": {
			Name: "calls", Type: ebpf.Syscall, Flags: 1 << 4, License: "GPL",
			Instructions: append(insns, asm.Mov.Imm(asm.R0, 0), asm.Return()),
		}},
	}
}

// results are what the steps returned: 1 for what opened something.
func results(memory []byte, n int) []int64 {
	all := make([]int64, n)
	for i := range all {
		all[i] = min(int64(binary.NativeEndian.Uint64(memory[sysResults+8*i:])), 1)
	}
	return all
}

// compareSys makes the steps in Linux and here, and compares what they return.
func compareSys(t *testing.T, name string, steps []sysStep, memory []byte) {
	t.Helper()
	spec := sysProgram(steps, memory)
	kernel, err := ebpf.NewCollection(spec)
	if err != nil {
		t.Fatalf("%s: %+v", name, err)
	}
	defer kernel.Close()
	if _, err := kernel.Programs["calls"].Run(&ebpf.RunOptions{}); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	there, err := kernel.Maps["memory"].LookupBytes(uint32(0))
	if err != nil {
		t.Fatal(err)
	}
	machine, err := vm.NewCollection(spec)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	defer machine.Close()
	if _, err := machine.Programs["calls"].Run(&ebpf.RunOptions{}); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	here, err := machine.Maps["memory"].LookupBytes(uint32(0))
	if err != nil {
		t.Fatal(err)
	}
	want, got := results(there, len(steps)), results(here, len(steps))
	for i, s := range steps {
		if want[i] == -11 {
			return // a signal came, and it is not there to compare with
		}
		if got[i] != want[i] {
			t.Errorf("%s, step %d returned %d, in Linux %d: %v", name, i, got[i], want[i], s)
			for at := range s.fds {
				t.Logf("the descriptor at %d is of %v", at, steps[s.fds[at]])
			}
			return
		}
	}
}

// Commands.
const (
	sysMapCreate  = 0
	sysLookup     = 1
	sysUpdate     = 2
	sysDelete     = 3
	sysProgLoad   = 5
	sysMapByID    = 14
	sysTracepoint = 17
	sysBTFLoad    = 18
	sysFreeze     = 22
	sysLink       = 28
	noSuchFD      = 987654
)

func words(w ...uint32) (b []byte) {
	for _, w := range w {
		b = binary.NativeEndian.AppendUint32(b, w)
	}
	return b
}

// sysData is what attributes point to: types, two programs, a licence, keys and values.
func sysData(t *testing.T) (memory []byte, at map[string]int, size map[string]int) {
	t.Helper()
	integer := &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	pair := &btf.Struct{Name: "pair", Size: 8, Members: []btf.Member{
		{Name: "a", Type: integer}, {Name: "b", Type: integer, Offset: 32},
	}}
	locked := &btf.Struct{Name: "locked", Size: 8, Members: []btf.Member{
		{Name: "lock", Type: &btf.Struct{Name: "bpf_spin_lock", Size: 4, Members: []btf.Member{{Name: "val", Type: integer}}}},
		{Name: "b", Type: integer, Offset: 32},
	}}
	b, err := btf.NewBuilder([]btf.Type{integer, pair, locked}, nil)
	if err != nil {
		t.Fatal(err)
	}
	types, err := b.Marshal(nil, btf.KernelMarshalOptions())
	if err != nil {
		t.Fatal(err)
	}
	at, size = make(map[string]int), make(map[string]int)
	add := func(name string, b []byte) {
		for len(memory)%8 != 0 {
			memory = append(memory, 0)
		}
		at[name], size[name] = len(memory), len(b)
		memory = append(memory, b...)
	}
	encode := func(insns asm.Instructions) []byte {
		var buf bytes.Buffer
		if err := insns.Marshal(&buf, binary.LittleEndian); err != nil {
			t.Fatal(err)
		}
		return buf.Bytes()
	}
	add("types", types)
	add("good", encode(asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}))
	add("bad", encode(asm.Instructions{asm.Mov.Reg(asm.R0, asm.R3), asm.Return()}))
	add("null", encode(asm.Instructions{asm.Mov.Imm(asm.R1, 0), asm.LoadMem(asm.R0, asm.R1, 0, asm.Word), asm.Return()}))
	add("endless", encode(asm.Instructions{asm.Ja.Label("").WithSymbol("x"), asm.Return()}))
	add("gpl", []byte("GPL\x00"))
	add("own", []byte("Proprietary\x00"))
	add("key", make([]byte, 64))
	add("value", bytes.Repeat([]byte{7}, 64))
	return memory, at, size
}

// TestSysBPFAsInKernel makes random sequences of commands with good and bad
// attributes.
func TestSysBPFAsInKernel(t *testing.T) {
	testenv.KernelFrom(t, 6, 18, "some attributes were not there yet")
	memory, at, size := sysData(t)
	const sequences = 300
	for seed := range uint64(sequences) {
		g := &sysGenerator{Rand: rand.New(rand.NewPCG(seed, 0)), at: at, size: size}
		var steps []sysStep
		for range 24 {
			s := g.step()
			if s.cmd == sysMapCreate || s.cmd == sysProgLoad || s.cmd == sysBTFLoad {
				g.opening = append(g.opening, len(steps))
			}
			steps = append(steps, s)
		}
		compareSys(t, fmt.Sprintf("seed %d", seed), steps, memory)
	}
}

// sysGenerator makes random steps.
type sysGenerator struct {
	*rand.Rand
	at, size map[string]int
	opening  []int // steps that may open something
}

func oneOf[T any](g *sysGenerator, from ...T) T { return from[g.IntN(len(from))] }

// often gives usual, and one time in n something else.
func often[T any](g *sysGenerator, n int, usual T, other ...T) T {
	if g.IntN(n) > 0 {
		return usual
	}
	return oneOf(g, other...)
}

func (g *sysGenerator) step() sysStep {
	s := sysStep{ptrs: map[int]int{}, fds: map[int]int{}}
	switch c := g.IntN(20); {
	case len(g.opening) == 0 || c < 7:
		g.mapCreate(&s)
	case c < 9:
		g.btfLoad(&s)
	case c < 12:
		g.progLoad(&s)
	case c < 15:
		g.element(&s)
	case c < 16:
		s.cmd, s.attr = sysFreeze, make([]byte, 4)
		g.fd(&s, 0)
	case c < 17:
		s.cmd, s.attr = sysMapByID, words(1<<31+g.Uint32N(9), 0, oneOf[uint32](g, 0, 0, 8, 24, 1))
	case c < 18:
		s.cmd, s.attr = sysLink, make([]byte, 16)
		binary.NativeEndian.PutUint32(s.attr, noSuchFD)
	case c < 19:
		s.cmd, s.attr = sysTracepoint, make([]byte, 24)
		binary.NativeEndian.PutUint32(s.attr[8:], noSuchFD)
	default:
		s.cmd, s.attr = oneOf[uint32](g, sysLookup, 4, 10, 99), make([]byte, 32)
	}
	switch g.IntN(12) {
	case 0: // too short
		s.size = 4 * (1 + g.IntN(len(s.attr)/4))
	case 1: // longer, with zeroes or not behind
		s.attr = append(s.attr, make([]byte, oneOf(g, 8, 64, 168, 400))...)
		if g.IntN(2) == 0 {
			s.attr[len(s.attr)-1-g.IntN(8)] = 1
		}
	case 2:
		if g.IntN(8) == 0 {
			s.size = oneOf(g, 4096, 4097)
		}
	}
	return s
}

// fd makes a word of the attributes a descriptor: what an earlier step returned, or
// none.
func (g *sysGenerator) fd(s *sysStep, at int) {
	if len(g.opening) > 0 && g.IntN(8) > 0 {
		s.fds[at] = g.opening[g.IntN(len(g.opening))]
		return
	}
	binary.NativeEndian.PutUint32(s.attr[at:], noSuchFD)
}

// pointer makes 8 bytes of the attributes an address of a part of the memory, or of none.
func (g *sysGenerator) pointer(s *sysStep, at int, part string) {
	if g.IntN(12) > 0 {
		s.ptrs[at] = g.at[part]
		return
	}
	binary.NativeEndian.PutUint64(s.attr[at:], oneOf[uint64](g, 0, 16, 1<<40))
}

func (g *sysGenerator) mapCreate(s *sysStep) {
	s.cmd, s.attr = sysMapCreate, make([]byte, 96)
	typ := g.Uint32N(34)
	if g.IntN(2) == 0 {
		typ = oneOf[uint32](g, 1, 2, 5, 6, 9, 12, 13, 22, 27)
	}
	put := func(at int, v uint32) { binary.NativeEndian.PutUint32(s.attr[at:], v) }
	switch typ {
	case 8, 14, 15, 18, 20, 25:
		typ = 2 // numbers of cgroups, devices and sockets mean another thing here
	}
	put(0, typ)
	put(4, often[uint32](g, 4, 4, 0, 1, 8, 20))
	put(8, often[uint32](g, 3, 8, 0, 4, 16))
	put(12, often[uint32](g, 8, 1, 0, 3, 64))
	put(16, often[uint32](g, 3, 0, 1, 2, 8, 16, 24, 64, 0x80, 0x100, 0x180, 0x400, 0x1000, 1<<13, 1<<14, 1<<20))
	if typ == 27 || typ == 31 {
		put(4, 0)
		put(8, 0)
		put(12, 4096)
	}
	if typ == 12 || typ == 13 {
		put(8, 4)
	}
	if typ == 12 || typ == 13 || g.IntN(20) == 0 {
		g.fd(s, 20)
	}
	put(24, often[uint32](g, 20, 0, 1, 77))
	copy(s.attr[28:44], often(g, 8, "name.1_A", "bad name", "sixteen_letters_", "é", ""))
	put(44, often[uint32](g, 30, 0, 987654))
	if g.IntN(3) == 0 {
		g.fd(s, 48)
		put(52, often[uint32](g, 4, 1, 0, 2, 99))
		put(56, often[uint32](g, 4, 2, 0, 1, 3, 99))
	}
	put(60, often[uint32](g, 40, 0, 1))
	binary.NativeEndian.PutUint64(s.attr[64:], often[uint64](g, 20, 0, 3, 16, 1<<40))
	put(88, often[uint32](g, 40, 0, 32))
}

func (g *sysGenerator) btfLoad(s *sysStep) {
	s.cmd, s.attr = sysBTFLoad, make([]byte, 40)
	g.pointer(s, 0, "types")
	size := uint32(g.size["types"])
	binary.NativeEndian.PutUint32(s.attr[16:], often(g, 4, size, 0, 1, size-1, size+8, 16<<20+1))
	binary.NativeEndian.PutUint32(s.attr[20:], often[uint32](g, 12, 0, 100))
	binary.NativeEndian.PutUint32(s.attr[24:], often[uint32](g, 12, 0, 1, 4, 8))
	binary.NativeEndian.PutUint32(s.attr[32:], often[uint32](g, 12, 0, 1, 1<<16))
	if s.attr[34] != 0 {
		binary.NativeEndian.PutUint32(s.attr[36:], noSuchFD) // no token
	}
}

func (g *sysGenerator) element(s *sysStep) {
	s.cmd, s.attr = oneOf[uint32](g, sysUpdate, sysUpdate, sysDelete), make([]byte, 32)
	g.fd(s, 0)
	g.pointer(s, 8, "key")
	if s.cmd == sysUpdate {
		g.pointer(s, 16, "value")
		binary.NativeEndian.PutUint64(s.attr[24:], often[uint64](g, 3, 0, 1, 2, 3, 4, 5, 1<<32))
	} else {
		s.attr = s.attr[:16]
	}
}

func (g *sysGenerator) progLoad(s *sysStep) {
	s.cmd, s.attr = sysProgLoad, make([]byte, 168)
	put := func(at int, v uint32) { binary.NativeEndian.PutUint32(s.attr[at:], v) }
	put(0, often[uint32](g, 4, 6, 0, 1, 3, 8, 9, 31, 32, 99))
	part := often(g, 3, "good", "bad", "null", "endless")
	put(4, often(g, 8, uint32(g.size[part]/8), 0, 1, 1_000_001))
	g.pointer(s, 8, part)
	g.pointer(s, 16, oneOf(g, "gpl", "own"))
	put(24, often[uint32](g, 12, 0, 1, 8))
	put(28, often[uint32](g, 20, 0, 100))
	put(44, often[uint32](g, 6, 0, 1, 2, 4, 8, 16, 32, 64, 256, 1<<16))
	copy(s.attr[48:64], often(g, 8, "prog_1.x", "bad name", "sixteen_letters_", ""))
	put(68, often[uint32](g, 12, 0, 1, 37, 99))
	if g.IntN(4) == 0 {
		g.fd(s, 72)
	}
	put(108, often[uint32](g, 20, 0, 1))
	if s.attr[46] != 0 {
		put(144, noSuchFD) // no token
	}
}
