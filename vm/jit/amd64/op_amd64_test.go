package amd64

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/jit/ir"
)

// vars are variables and the registers that they have here: all that there are.
var vars = map[ir.Var]ir.Reg{
	0: rax, 1: rdi, 2: rsi, 3: rdx, 4: rcx, 5: r8,
	6: rbx, 7: r13, 8: r14, 9: r12, 11: rbp, 12: r9,
	ir.Scratch0: r10, ir.Scratch1: r11,
}

// state is what all variables have, as a function gets and leaves it.
type state struct {
	in, out [64]uint64
	went    uint64     // which way a branch went
	memory  [64]uint64 // what loads and stores work on
}

const (
	frameVars  = 8 * 64
	frameState = frameVars + 8
	frameWent  = frameState + 8
	frameOwn   = 128 // for the instruction under test
	frameBytes = frameWent + frameOwn + 8
)

// around makes a function that loads all variables, does one instruction, and stores
// all variables.
func around(ins ir.Ins) *ir.Func {
	f := &ir.Func{Name: "test", Vars: 13, Frame: frameBytes}
	for v, r := range vars {
		f.Regs[v] = r
	}
	var body []ir.Ins
	add := func(i ir.Ins) { body = append(body, i) }
	add(ir.Ins{Op: ir.Store, Width: 8, A: ir.Frame, B: ir.None, C: 1, Dst: ir.None, Off: -frameState})
	for k := int32(8); k <= frameOwn; k += 8 {
		add(ir.Ins{Op: ir.Load, Width: 8, A: 1, B: ir.None, C: ir.None, Dst: 0, Off: 8*64 + 8*64 + 8 + k - 8})
		add(ir.Ins{Op: ir.Store, Width: 8, A: ir.Frame, B: ir.None, C: 0, Dst: ir.None, Off: -frameBytes + k - 8})
	}
	for v := ir.Var(0); v < 64; v++ {
		if _, ok := vars[v]; ok && v != 1 {
			add(ir.Ins{Op: ir.Load, Width: 8, A: 1, B: ir.None, C: ir.None, Dst: v, Off: 8 * int32(v)})
		}
	}
	add(ir.Ins{Op: ir.Load, Width: 8, A: 1, B: ir.None, C: ir.None, Dst: 1, Off: 8})
	add(ins)
	if ins.Op != ir.Branch {
		add(ir.Ins{Op: ir.Jump})
	}
	way := func(n int64) ir.Block {
		return ir.Block{Succ: [2]int32{3, -1}, Ins: []ir.Ins{
			{Op: ir.Store, Width: 8, A: ir.Frame, B: ir.None, C: ir.None, Dst: ir.None, Off: -frameWent, Imm: n},
			{Op: ir.Jump},
		}}
	}
	var end []ir.Ins
	for v := ir.Var(0); v < 64; v++ {
		if _, ok := vars[v]; ok {
			end = append(end, ir.Ins{Op: ir.Store, Width: 8, A: ir.Frame, B: ir.None, C: v, Dst: ir.None, Off: -frameVars + 8*int32(v)})
		}
	}
	end = append(end, ir.Ins{Op: ir.Load, Width: 8, A: ir.Frame, B: ir.None, C: ir.None, Dst: 1, Off: -frameState})
	for v := int32(0); v <= 64; v++ {
		from := -frameVars + 8*v
		if v == 64 {
			from = -frameWent
		}
		end = append(end,
			ir.Ins{Op: ir.Load, Width: 8, A: ir.Frame, B: ir.None, C: ir.None, Dst: 0, Off: from},
			ir.Ins{Op: ir.Store, Width: 8, A: 1, B: ir.None, C: 0, Dst: ir.None, Off: 8*64 + 8*v})
	}
	for k := int32(8); k <= frameOwn; k += 8 {
		end = append(end,
			ir.Ins{Op: ir.Load, Width: 8, A: ir.Frame, B: ir.None, C: ir.None, Dst: 0, Off: -frameBytes + k - 8},
			ir.Ins{Op: ir.Store, Width: 8, A: 1, B: ir.None, C: 0, Dst: ir.None, Off: 8*64 + 8*64 + 8 + k - 8})
	}
	end = append(end, ir.Ins{Op: ir.Return})
	f.Blocks = []ir.Block{
		{Ins: body, Succ: [2]int32{1, 2}},
		way(1), way(2),
		{Ins: end, Succ: [2]int32{-1, -1}},
	}
	return f
}

func mask(width uint8) uint64 { return math.MaxUint64 >> (64 - 8*width) }

func extend(v uint64, width uint8) uint64 {
	n := 64 - 8*width
	return uint64(int64(v<<n) >> n)
}

// arithmetic is what an operation gives.
func arithmetic(i *ir.Ins, x, y uint64) uint64 {
	x, y = x&mask(i.Size), y&mask(i.Size)
	sx, sy := int64(extend(x, i.Size)), int64(extend(y, i.Size))
	n := y & uint64(8*i.Size-1)
	switch i.Op {
	case ir.Add:
		return x + y
	case ir.Sub:
		return x - y
	case ir.Mul:
		return x * y
	case ir.And:
		return x & y
	case ir.Or:
		return x | y
	case ir.Xor:
		return x ^ y
	case ir.Shl:
		return x << n
	case ir.Shr:
		return x >> n
	case ir.Sar:
		return uint64(sx >> n)
	case ir.Rol:
		return x<<n | x>>(uint64(8*i.Size)-n)
	case ir.MulHi:
		hi, _ := bits.Mul64(x, y)
		return hi
	case ir.Neg:
		return -x
	case ir.Mov:
		return x
	case ir.Const:
		return uint64(i.Imm)
	case ir.Zext:
		return x & mask(i.Width)
	case ir.Sext:
		return extend(x, i.Width)
	case ir.Bswap:
		return bits.ReverseBytes64(x) >> (64 - 8*i.Width)
	case ir.Div, ir.Sdiv:
		switch {
		case y == 0:
			return 0
		case i.Op == ir.Div:
			return x / y
		case sy == -1:
			return -x
		}
		return uint64(sx / sy)
	case ir.Mod, ir.Smod:
		switch {
		case y == 0:
			return x
		case i.Op == ir.Mod:
			return x % y
		case sy == -1:
			return 0
		}
		return uint64(sx % sy)
	}
	panic("unreachable: not arithmetic")
}

func holds(c ir.Cond, size uint8, x, y uint64) bool {
	x, y = x&mask(size), y&mask(size)
	sx, sy := int64(extend(x, size)), int64(extend(y, size))
	is := [...]bool{x == y, x < y, x <= y, sx < sy, sx <= sy, x&y != 0}[c/2]
	return is == (c%2 == 0)
}

// evaluate does one instruction on a state whose memory is taken to be at base. What
// is Frame's begins there, too.
func evaluate(i *ir.Ins, s *state, base uint64) {
	s.out, s.went = s.in, 1
	value := func(v ir.Var) uint64 {
		switch v {
		case ir.None:
			return 0
		case ir.Frame:
			return base + frameBytes
		}
		return s.in[v]
	}
	x, y := value(i.A), uint64(i.Imm)
	if i.B != ir.None {
		y = value(i.B)
	}
	addr := x + uint64(int64(i.Off))
	if i.B != ir.None && (i.Op == ir.Load || i.Op == ir.LoadSext || i.Op == ir.Store || i.Op == ir.Lea) {
		addr += value(i.B) << i.N
	}
	at := func() []byte {
		n := addr - base
		return unsafe.Slice((*byte)(unsafe.Pointer(&s.memory[0])), 8*len(s.memory))[n : n+uint64(i.Width)]
	}
	load := func() uint64 {
		var b [8]byte
		copy(b[:], at())
		return binary.LittleEndian.Uint64(b[:])
	}
	store := func(v uint64) {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], v)
		copy(at(), b[:])
	}
	c := value(i.C)
	var d uint64
	switch i.Op {
	case ir.Branch:
		if !holds(i.Cond, i.Size, x, y) {
			s.went = 2
		}
	case ir.Lea:
		d = addr
	case ir.Load, ir.LoadAcquire:
		d = load()
	case ir.LoadSext:
		d = extend(load(), i.Width)
	case ir.Store:
		if i.C == ir.None {
			c = uint64(i.Imm)
		}
		store(c)
	case ir.StoreRelease, ir.Xchg:
		d = load()
		store(c)
	case ir.AtomicAdd:
		d = load()
		store(d + c)
	case ir.AtomicAnd:
		d = load()
		store(d & c)
	case ir.AtomicOr:
		d = load()
		store(d | c)
	case ir.AtomicXor:
		d = load()
		store(d ^ c)
	case ir.Cmpxchg:
		if d = load(); d == y&mask(i.Width) {
			store(c)
		}
	default:
		d = arithmetic(i, x, y)
	}
	if i.Size == 4 {
		d &= mask(4)
	}
	if i.Dst != ir.None {
		s.out[i.Dst] = d
	}
}

func addressOf(p *uint64) uint64 { return uint64(uintptr(unsafe.Pointer(p))) }

// edges are numbers at which arithmetic goes wrong.
var edges = []uint64{
	0, 1, 2, 3, 5, 7, 8, 31, 32, 33, 63, 64, 127, 128, 129, 255, 256, 1 << 15, 1<<16 - 1, 1 << 16,
	1<<31 - 1, 1 << 31, 1<<31 + 1, 1<<32 - 1, 1 << 32, 1<<32 + 1, 1 << 40, 1<<63 - 1, 1 << 63, 1<<63 + 1,
	math.MaxUint64, math.MaxUint64 - 1, 0xffff_ffff_8000_0000, 0xffff_ffff_7fff_ffff, 0xffff_ffff_ffff_ff80, 0xffff_ffff_ffff_ff7f,
	0xffff_ffff_0000_0000, 0x8000_0000_8000_0000, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210,
}

type random struct{ *rand.Rand }

func (r random) number() uint64 {
	switch r.IntN(8) {
	case 0:
		return r.Uint64()
	case 1:
		return r.Uint64() >> r.IntN(64)
	case 2:
		return 1 << r.IntN(64)
	}
	return edges[r.IntN(len(edges))]
}

// pick is a variable; every other time one of those that are special to amd64.
func (r random) pick() ir.Var {
	if r.IntN(2) == 0 {
		return [...]ir.Var{0, 3, 4, ir.Scratch0, ir.Scratch1}[r.IntN(5)]
	}
	return [...]ir.Var{1, 2, 5, 6, 7, 8, 9, 11, 12}[r.IntN(9)]
}

// ins is an instruction of an operation, with anything for operands.
func (r random) ins(op ir.Op) ir.Ins {
	i := ir.Ins{Op: op, Size: 4 << r.IntN(2), Width: 1 << r.IntN(4), Dst: r.pick(), A: r.pick(), B: ir.None, C: ir.None}
	scratch1 := func(vars ...*ir.Var) { // is not in use where there is an immediate
		for _, v := range vars {
			for *v == ir.Scratch1 {
				*v = r.pick()
			}
		}
	}
	switch op {
	case ir.Neg, ir.Mov:
	case ir.Zext:
		i.Size = 8
	case ir.Sext:
		i.Width = min(i.Width, i.Size)
	case ir.Bswap:
		i.Width = max(2, i.Width)
		i.Size = max(4, i.Width)
	case ir.Const:
		i.Imm = int64(r.number())
		i.A = ir.None
	case ir.Lea, ir.Load, ir.LoadSext, ir.Store:
		i.Size = 8
		i.Off = int32(r.number())
		if op != ir.Lea {
			i.Off %= 1 << 20
		}
		if r.IntN(4) == 0 && op != ir.Lea {
			i.A = ir.Frame
			i.Off = int32(r.IntN(frameOwn-8)) - frameBytes
		} else if r.IntN(2) == 0 && (op == ir.Lea || i.A != ir.Frame) {
			i.B, i.N = r.pick(), uint8(r.IntN(4))
			for i.B == i.A && op != ir.Lea {
				i.B = r.pick()
			}
		}
		if op == ir.Store {
			i.Dst = ir.None
			if r.IntN(2) == 0 {
				i.C = r.pick()
			} else {
				i.Imm = int64(r.number())
				scratch1(&i.A, &i.B)
				for i.B == i.A {
					i.B = ir.None
				}
			}
		}
	case ir.AtomicAdd, ir.AtomicAnd, ir.AtomicOr, ir.AtomicXor, ir.Xchg, ir.Cmpxchg, ir.LoadAcquire, ir.StoreRelease:
		i.Size = 8
		i.C = r.pick()
		i.Off = int32(r.number()) % (1 << 20)
		if r.IntN(4) == 0 {
			i.A = ir.Frame
			i.Off = int32(r.IntN(frameOwn/8))*8 - frameBytes
		}
		switch op {
		case ir.LoadAcquire:
			i.C = ir.None
		case ir.StoreRelease:
			i.Dst = ir.None
		default:
			i.Width = max(i.Width, 4)
		}
		switch op {
		case ir.Xchg:
		case ir.Cmpxchg:
			i.B = r.pick()
		case ir.AtomicAdd, ir.AtomicAnd, ir.AtomicOr, ir.AtomicXor:
			if r.IntN(2) == 0 {
				i.Dst = ir.None
			}
		}
	case ir.Branch:
		i.Cond = ir.Cond(r.IntN(int(ir.TestClear) + 1))
		i.Dst = ir.None
		fallthrough
	default:
		if i.B = r.pick(); r.IntN(2) == 0 {
			i.B, i.Imm = ir.None, int64(r.number())
			scratch1(&i.A, &i.Dst)
		}
		if op == ir.MulHi {
			i.Size = 8
		}
	}
	return i
}

// prepare fills a state, so that what the instruction takes for an address is one.
func (r random) prepare(i *ir.Ins, s *state, frame bool) {
	for v := range s.in {
		s.in[v] = r.number()
	}
	for k := range s.memory {
		s.memory[k] = r.number()
	}
	if i.Op < ir.Load || i.Op > ir.StoreRelease || frame {
		return
	}
	if i.B != ir.None && i.Op < ir.AtomicAdd {
		s.in[i.B] = uint64(r.IntN(16))
	}
	at := addressOf(&s.memory[32])
	if i.Op < ir.AtomicAdd {
		at += uint64(r.IntN(64))
	}
	s.in[i.A] = at - uint64(int64(i.Off))
}

func given(v ir.Var, s *state) uint64 {
	if v > ir.Scratch1 {
		return 0
	}
	return s.in[v]
}

// differs says what an instruction did that it should not have done.
func differs(i *ir.Ins, got, want *state) string {
	keeps := i.Op == ir.Mov || i.Op == ir.Load || i.Op == ir.LoadSext || i.Op == ir.Store && i.C != ir.None
	for v, r := range vars {
		if v >= ir.Scratch0 && v != i.Dst && !keeps {
			continue
		}
		if got.out[v] != want.out[v] {
			return fmt.Sprintf("variable %d in register %d is %#x, not %#x", v, r, got.out[v], want.out[v])
		}
	}
	if i.Op == ir.Branch && got.went != want.went {
		return fmt.Sprintf("goes way %d", got.went)
	}
	for k, m := range want.memory {
		if got.memory[k] != m {
			return fmt.Sprintf("word %d of memory is %#x, not %#x", k, got.memory[k], m)
		}
	}
	return ""
}

// TestOperations runs each operation with many registers, numbers and sizes.
func TestOperations(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := random{rand.New(rand.NewPCG(seed, 1))}
	block, err := mem.New(uint64(unsafe.Sizeof(state{})))
	if err != nil {
		t.Fatal(err)
	}
	defer block.Free()
	got := (*state)(mem.At(block.Addr()))
	for _, opts := range []Options{{}, {BMI2: true}, {BMI2: true, Seed: 7}} {
		var p ir.Program
		var all []ir.Ins
		for op := ir.Add; op <= ir.StoreRelease; op++ {
			for range 300 {
				if op == ir.Context {
					continue // gives something else each time
				}
				all = append(all, r.ins(op))
			}
		}
		for range 2000 {
			all = append(all, r.ins(ir.Branch))
		}
		for _, i := range all {
			p.Funcs = append(p.Funcs, around(i))
		}
		n := newNative(t, &p, opts)
		for k := range all {
			i := &all[k]
			for range 8 {
				r.prepare(i, got, i.A == ir.Frame)
				want := *got
				evaluate(i, &want, addressOf(&got.memory[0]))
				n.run(k, nil, uint64(block.Addr()))
				if diff := differs(i, got, &want); diff != "" {
					t.Fatalf("%+v with %+v: A %#x, B %#x, C %#x: %s", i, opts, given(i.A, got), given(i.B, got), given(i.C, got), diff)
				}
			}
		}
	}
}
