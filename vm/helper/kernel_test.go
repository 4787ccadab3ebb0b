package helper_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/vm/engine"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/helper"
	"github.com/skep-ebpf/skep/vm/internal/oracle"
)

var packetTypes = []ebpf.ProgramType{ebpf.XDP, ebpf.SchedCLS, ebpf.SchedACT, ebpf.SocketFilter, ebpf.CGroupSKB}

// TestAvailability checks that each helper is offered to the types that Linux
// offers it to.
func TestAvailability(t *testing.T) {
	testenv.KernelFrom(t, 6, 18, "helpers were offered to fewer types")
	for _, h := range helper.All() {
		if h.Name == "bpf_copy_from_user" || h.Name == "bpf_copy_from_user_task" {
			continue // for programs that may sleep
		}
		for _, typ := range append(packetTypes, ebpf.Syscall) {
			inKernel := features.HaveProgramHelper(typ, asm.BuiltinFunc(h.ID)) == nil
			if typ == ebpf.Syscall && !inKernel {
				continue // tracing's helpers, a later matter
			}
			if h.AllowedIn(typ) != inKernel && !(typ == ebpf.Syscall && h.Types != nil) {
				t.Errorf("%s in %v: %v, the kernel %v", h.Name, typ, h.AllowedIn(typ), inKernel)
			}
		}
	}
}

// The stack of a random program: arguments in memory lie in its first part.
const (
	memory     = 256
	memoryBase = -memory
)

// A step is one call of a random program. Arguments are numbers, or one of the
// kinds below.
type step struct {
	id   uint32
	args []any
}

type (
	ctxArg   struct{}
	stackArg int16 // bytes into the memory
	nullArg  struct{}
)

func (s step) String() string {
	var args []string
	for _, a := range s.args {
		switch a := a.(type) {
		case ctxArg:
			args = append(args, "ctx")
		case stackArg:
			args = append(args, fmt.Sprintf("mem+%d", a))
		case nullArg:
			args = append(args, "NULL")
		default:
			args = append(args, fmt.Sprintf("%#x", a))
		}
	}
	return fmt.Sprintf("%s(%s)", helper.ByID(s.id).Name, strings.Join(args, ", "))
}

// program calls the steps on a memory of given bytes, and returns one number made
// of all results, the memory, and the context fields that helpers change.
func program(typ ebpf.ProgramType, steps []step, mem []byte) asm.Instructions {
	return programOf(typ, steps, mem, false)
}

// programOf returns only the last call's result where that is asked for.
func programOf(typ ebpf.ProgramType, steps []step, mem []byte, onlyLast bool) asm.Instructions {
	insns := asm.Instructions{asm.Mov.Reg(asm.R6, asm.R1), asm.Mov.Imm(asm.R7, 0)}
	for i := 0; i < memory; i += 8 {
		insns = append(insns,
			asm.LoadImm(asm.R1, int64(binary.LittleEndian.Uint64(mem[i:])), asm.DWord),
			asm.StoreMem(asm.R10, int16(memoryBase+i), asm.R1, asm.DWord))
	}
	fold := func(r asm.Register) {
		insns = append(insns, asm.Mul.Imm(asm.R7, 31), asm.Add.Reg(asm.R7, r))
	}
	for _, s := range steps {
		for i, a := range s.args {
			r := asm.R1 + asm.Register(i)
			switch a := a.(type) {
			case ctxArg:
				insns = append(insns, asm.Mov.Reg(r, asm.R6))
			case stackArg:
				insns = append(insns, asm.Mov.Reg(r, asm.R10), asm.Add.Imm(r, int32(memoryBase)+int32(a)))
			case nullArg:
				insns = append(insns, asm.Mov.Imm(r, 0))
			case int:
				insns = append(insns, asm.LoadImm(r, int64(a), asm.DWord))
			case uint64:
				insns = append(insns, asm.LoadImm(r, int64(a), asm.DWord))
			}
		}
		insns = append(insns, asm.BuiltinFunc(s.id).Call())
		if !volatile[s.id] {
			fold(asm.R0)
		}
	}
	if onlyLast {
		insns = append(insns, asm.Mov.Reg(asm.R1, asm.R6))
		return append(insns, oracle.Exit(typ)...)
	}
	for i := 0; i < memory; i += 8 {
		insns = append(insns, asm.LoadMem(asm.R1, asm.R10, int16(memoryBase+i), asm.DWord))
		fold(asm.R1)
	}
	for _, off := range changing[typ] {
		insns = append(insns, asm.LoadMem(asm.R1, asm.R6, off, asm.Word))
		fold(asm.R1)
	}
	insns = append(insns,
		asm.Mov.Reg(asm.R0, asm.R7), asm.RSh.Imm(asm.R0, 32), asm.Xor.Reg(asm.R0, asm.R7),
		asm.Mov.Reg(asm.R1, asm.R6))
	return append(insns, oracle.Exit(typ)...)
}

// volatile are helpers whose result is a matter of chance.
var volatile = map[uint32]bool{34: true}

// changing are the context fields that helpers change.
var changing = map[ebpf.ProgramType][]int16{
	ebpf.SchedCLS:     {0, 4, 16, 20, 24, 28},
	ebpf.SchedACT:     {0, 4, 16, 20, 24, 28},
	ebpf.SocketFilter: {0, 4, 16},
	ebpf.CGroupSKB:    {0, 4, 16},
}

// A maker makes random calls of one helper.
type maker struct {
	id    uint32
	types []ebpf.ProgramType
	args  func(g *gen) []any
}

// gen draws arguments: mostly sensible, often on the edge, sometimes wrong.
type gen struct {
	*rand.Rand
	pushed bool // the packet may have grown at its front
}

func (g *gen) pick(of ...int) int { return of[g.IntN(len(of))] }

// offset is a place in a packet.
func (g *gen) offset() any {
	return g.pick(0, 1, 12, 14, 20, 24, g.IntN(100), g.IntN(100), 0xffff, 0x10000, 0x7fffffff, -1)
}

// mem is a piece of memory and its size.
func (g *gen) mem() (any, any) {
	size := 1 + g.IntN(40)
	return stackArg(g.IntN(memory-size) &^ 3), size
}

func (g *gen) flags(known uint64) any {
	switch g.IntN(8) {
	case 0:
		return g.Uint64() & g.Uint64() & g.Uint64()
	case 1, 2, 3:
		return uint64(0)
	}
	return g.Uint64() & known
}

var (
	onlyXDP = []ebpf.ProgramType{ebpf.XDP}
	onlyTC  = []ebpf.ProgramType{ebpf.SchedCLS, ebpf.SchedACT}
	anySKB  = []ebpf.ProgramType{ebpf.SchedCLS, ebpf.SchedACT, ebpf.SocketFilter, ebpf.CGroupSKB}
	tcXDP   = []ebpf.ProgramType{ebpf.SchedCLS, ebpf.SchedACT, ebpf.XDP}
)

var makers = []maker{
	{44, onlyXDP, func(g *gen) []any {
		return []any{ctxArg{}, g.pick(-1, 1, 4, -4, -14, 20, -216, -217, 80, -1<<31, g.IntN(60)-30)}
	}},
	{54, onlyXDP, func(g *gen) []any { return []any{ctxArg{}, g.pick(-4, 4, -8, -32, -3, -252, -216, -220, 8, 1<<31-1)} }},
	{65, onlyXDP, func(g *gen) []any {
		return []any{ctxArg{}, g.pick(-1, 1, -20, 100, 3400, 3520, 4000, -1<<31, g.IntN(200)-100)}
	}},
	{188, onlyXDP, func(*gen) []any { return []any{ctxArg{}} }},
	{189, onlyXDP, func(g *gen) []any { m, n := g.mem(); return []any{ctxArg{}, g.offset(), m, n} }},
	{190, onlyXDP, func(g *gen) []any { m, n := g.mem(); return []any{ctxArg{}, g.offset(), m, n} }},
	{23, tcXDP, func(g *gen) []any { return []any{g.IntN(3), g.flags(1)} }},

	{26, anySKB, func(g *gen) []any { m, n := g.mem(); return []any{ctxArg{}, g.offset(), m, n} }},
	{68, anySKB, func(g *gen) []any { m, n := g.mem(); return []any{ctxArg{}, g.offset(), m, n, g.IntN(3)} }},

	{9, onlyTC, func(g *gen) []any { m, n := g.mem(); return []any{ctxArg{}, g.offset(), m, n, g.flags(3)} }},
	{10, onlyTC, func(g *gen) []any { return append([]any{ctxArg{}, g.offset()}, g.change(0)...) }},
	{11, onlyTC, func(g *gen) []any { return append([]any{ctxArg{}, g.offset()}, g.change(0xf0)...) }},
	{18, onlyTC, func(g *gen) []any { return []any{ctxArg{}, g.pick(0x0081, 0xa888, 0, 0x10081), g.IntN(1 << 17)} }},
	{19, onlyTC, func(*gen) []any { return []any{ctxArg{}} }},
	{31, onlyTC, func(g *gen) []any { return []any{ctxArg{}, g.pick(0x0008, 0xdd86, 0), g.flags(0)} }},
	{32, onlyTC, func(g *gen) []any { return []any{ctxArg{}, g.IntN(6)} }},
	{38, onlyTC, func(g *gen) []any {
		if g.pushed {
			// Linux may have copied the packet to where there is more room before it,
			// and then mistakes how short it may be.
			return []any{ctxArg{}, g.pick(16064, 16065), g.flags(0)}
		}
		// Cutting a header in two shows what lies behind the packet.
		return []any{ctxArg{}, g.pick(0, 13, 54, 64, 2000, 16064, 16065, 54+g.IntN(150)), g.flags(0)}
	}},
	{39, onlyTC, func(g *gen) []any { return []any{ctxArg{}, g.offset()} }},
	{40, onlyTC, func(g *gen) []any { return []any{ctxArg{}, g.IntN(1 << 16)} }},
	{43, onlyTC, func(g *gen) []any { return []any{ctxArg{}, g.pick(0, 1, 14, 100, 15000, 16064, -1), g.flags(0)} }},
	{50, onlyTC, func(g *gen) []any {
		return []any{ctxArg{}, g.pick(0, 4, 20, 40, -4, -20, -40, 100, 0xfff, 0x1000, -0x1000), g.pick(0, 1, 1, 0, 2), g.room()}
	}},
	{135, onlyTC, func(g *gen) []any { return []any{ctxArg{}, g.IntN(5)} }},
	{97, append(onlyTC, ebpf.CGroupSKB), func(*gen) []any { return []any{ctxArg{}} }},
	{192, onlyTC, func(g *gen) []any { return []any{ctxArg{}, g.pick(0, 1, 1000), g.IntN(4)} }},
	{20, onlyTC, func(g *gen) []any { return []any{ctxArg{}, stackArg(0), g.tunnelSize(), g.flags(0x11)} }},
	{21, onlyTC, func(g *gen) []any { return []any{ctxArg{}, stackArg(64), g.tunnelSize(), g.flags(0x1f)} }},
	{29, onlyTC, func(g *gen) []any { return []any{ctxArg{}, stackArg(0), g.tunnelOptionSize()} }},
	{30, onlyTC, func(g *gen) []any { return []any{ctxArg{}, stackArg(0), g.tunnelOptionSize()} }},
	{48, onlyTC, func(g *gen) []any { return []any{ctxArg{}, g.IntN(1 << 31)} }},
	{41, onlyTC, func(*gen) []any { return []any{ctxArg{}} }},
	{34, onlyTC, func(*gen) []any { return []any{ctxArg{}} }},
	{152, onlyTC, func(g *gen) []any { return []any{g.IntN(3), stackArg(0), g.pick(4, 19, 20, 24), g.flags(0)} }},
	{155, onlyTC, func(g *gen) []any { return []any{g.IntN(3), g.flags(0)} }},

	{28, tcXDP, func(g *gen) []any {
		from, to := any(stackArg(4*g.IntN(20))), any(stackArg(4*g.IntN(20)))
		n, m := g.pick(0, 4, 8, 20, 64, 3, 100), g.pick(0, 4, 8, 20, 64, 2, 100)
		if n == 0 {
			from = nullArg{}
		}
		if m == 0 {
			to = nullArg{}
		}
		return []any{from, n, to, m, g.pick(0, 1, 0xffff, 0xffffffff, int(g.Uint32()))}
	}},
	{69, tcXDP, func(g *gen) []any {
		return []any{ctxArg{}, stackArg(0), g.pick(63, 64, 64, 64, 70), g.pick(0, 1, 1<<7)}
	}},
	{163, tcXDP, func(g *gen) []any {
		return []any{ctxArg{}, g.pick(0, 1, 999999), stackArg(8), g.pick(0, 10, -10, 70000, 65500), g.flags(1)}
	}},
	{105, packetTypes, func(g *gen) []any {
		m, n := g.mem()
		return []any{m, n, g.pick(0, 8, 10, 16, 2, 32), stackArg(8 * g.IntN(8))}
	}},
	{106, packetTypes, func(g *gen) []any {
		m, n := g.mem()
		return []any{m, n, g.pick(0, 8, 10, 16, 2, 32), stackArg(8 * g.IntN(8))}
	}},
}

// change is a from, a to and the flags of a checksum replacement.
func (g *gen) change(flags uint64) []any {
	size := g.pick(0, 0, 2, 4, 2, 4, 3)
	from := any(uint64(g.Uint32()))
	if size == 0 && g.IntN(4) != 0 {
		from = uint64(0)
	}
	return []any{from, uint64(g.Uint32()), uint64(size) | g.Uint64()&flags}
}

func (g *gen) room() any {
	encap := []uint64{0, 1 << 1, 1 << 2, 1<<1 | 1<<3, 1<<2 | 1<<4, 1<<1 | 1<<6 | 14<<56, 1<<1 | 1<<6 | 13<<56, 6, 1 << 7, 1 << 8, 3 << 7, 1<<1 | 20<<56}
	return encap[g.IntN(len(encap))] | uint64(g.pick(0, 1, 1<<5, 1<<6, 0))
}

func (g *gen) tunnelSize() any { return g.pick(44, 44, 44, 28, 24, 22, 8, 40, 1) }

func (g *gen) tunnelOptionSize() any { return g.pick(4, 8, 8, 16, 64, 6, 1) }

// packet is a frame of some kind, or noise.
func (g *gen) packet() []byte {
	p := make([]byte, 54+g.IntN(60))
	for i := range p {
		p[i] = byte(g.Uint32())
	}
	switch g.IntN(6) {
	case 0, 1:
		copy(p[12:], "\x08\x00\x45")
	case 2, 3:
		copy(p[12:], "\x86\xdd\x60")
	case 4:
		copy(p[12:], "\x81\x00\x00\x05\x08\x00")
	}
	return p
}

// memory is numbers as text, zeros, or noise.
func (g *gen) memory() []byte {
	m := make([]byte, memory)
	switch g.IntN(3) {
	case 0:
		for i := range m {
			m[i] = " -+0123456789abcxXF\x00"[g.IntN(20)]
		}
	case 1:
		for i := range m {
			m[i] = byte(g.Uint32())
		}
		m[0] = byte(g.pick(2, 10, 7))
		// A tunnel key's tail, where most values are wrong.
		clear(m[64+20 : 64+28])
		clear(m[8:12])
		m[8] = byte(g.IntN(2)) // the interface of a route lookup
	}
	return m
}

// TestHelpersAsInKernel runs random programs of helper calls on random packets in
// Linux and here. SKEP_SEED repeats a run, SKEP_PROGRAMS makes it longer.
func TestHelpersAsInKernel(t *testing.T) {
	testenv.KernelFrom(t, 6, 18, "helpers were offered to fewer types")
	n := 1500
	if s, err := strconv.Atoi(os.Getenv("SKEP_PROGRAMS")); err == nil {
		n = s
	}
	g := &gen{Rand: rand.New(rand.NewPCG(testenv.Seed(t), 0))}
	s := oracle.State(t)
	s.Env.Net = hostInterfaces(t)
	for range n {
		typ := packetTypes[g.IntN(len(packetTypes))]
		var usable []maker
		for _, m := range makers {
			for _, mt := range m.types {
				if mt == typ {
					usable = append(usable, m)
				}
			}
		}
		var steps []step
		g.pushed = false
		for range 1 + g.IntN(6) {
			m := usable[g.IntN(len(usable))]
			steps = append(steps, step{m.id, m.args(g)})
			switch m.id {
			case 18, 31, 43, 50:
				g.pushed = true
			}
		}
		mem := g.memory()
		run := oracle.Run{Type: typ, Data: g.packet()}
		if typ != ebpf.XDP {
			run.Ctx = make([]byte, 192)
		}
		modes := engine.Modes()
		mode := modes[g.IntN(len(modes))]
		if got, kernel := both(t, s, &run, program(typ, steps, mem), mode); got.Equal(kernel) {
			continue
		}
		// The first part of the steps that differs says more than all of them.
		for i := range steps {
			got, kernel := both(t, s, &run, program(typ, steps[:i+1], mem), mode)
			if !got.Equal(kernel) {
				last, kernelLast := both(t, s, &run, programOf(typ, steps[:i+1], mem, true), mode)
				t.Fatalf("%v, mode %v, memory %x, packet %x\nsteps %v, the last giving %d, in the kernel %d:\n%v\nthe kernel:\n%v",
					typ, mode, mem, run.Data, steps[:i+1], int32(last.Ret), int32(kernelLast.Ret), got, kernel)
			}
		}
		t.Fatalf("%v, packet %x: steps %v differ only sometimes", typ, run.Data, steps)
	}
}

// hostInterfaces are the interfaces that Linux finds here, by chance, where a
// random number is taken for an interface's. They forward nothing.
func hostInterfaces(t *testing.T) *exec.Routes {
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	var routes exec.Routes
	for _, i := range all {
		routes.Interfaces = append(routes.Interfaces, exec.Interface{Index: uint32(i.Index), MTU: i.MTU})
	}
	return &routes
}

func both(t *testing.T, s *exec.State, run *oracle.Run, insns asm.Instructions, mode engine.Mode) (got, kernel oracle.Result) {
	t.Helper()
	run.Insns = insns
	kernel, err := run.Kernel(t)
	if err != nil {
		t.Fatalf("%v, %v: %+v", run.Type, insns, err)
	}
	return run.Machine(t, s, mode), kernel
}
