package interp

import (
	"fmt"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/maps"
	"github.com/skep-ebpf/skep/vm/object"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// access is what an instruction does with memory.
type access uint8

const (
	loads access = iota
	stores
	updates // atomically
)

// admit judges an access that the loop could not admit at once. It gives true
// where the loop may go on with it; otherwise the access was one of a context
// field and is done, or m.err says what is wrong.
func (m *machine) admit(o *op, from exec.Prov, a, n uintptr, kind access) bool {
	switch {
	case from.Region() == exec.RegionCtx && len(m.prog.in.Type.Fields) > 0:
		m.accessCtx(o)
		return false
	case from.Region() == exec.RegionMap && kind == loads:
		m.loadMapField(o, from)
		return false
	case m.isTyped(from):
		m.accessTyped(o, from, a, n, kind)
		return false
	case m.isArena(from):
		m.accessArena(o)
		return false
	case m.loadPointer(o, from, a, n, kind):
		return false
	}
	reg := o.src
	if kind != loads {
		reg = o.dst
	}
	reason := m.refuses(from, a, n, kind)
	if reason == "" {
		reason = m.guards(from, a, n, kind, ^maps.FieldKind(0))
	}
	if reason == "" && m.insn(o).Op&0xe0 == isa.ModeATOMIC && a%n != 0 {
		reason = fmt.Sprintf("may be used for an atomic access of %d bytes only where its address is a multiple of that; this is 0x%x", n, a)
	}
	if reason != "" {
		if m.mayMiss(o) {
			m.slow(o)
			if r, ok := m.insn(o).Writes(); ok {
				m.prov[r] = m.state.Env.Objects.Prov(m.reg[r])
			}
			return false
		}
		m.fail(o, fmt.Sprintf("R%d %s", reg, reason))
		return false
	}
	return true
}

// mayMiss reports whether the verifier lets an access be one of memory that is not there.
func (m *machine) mayMiss(o *op) bool {
	if !m.prog.Verified() {
		return false
	}
	memory := m.prog.in.Facts[m.index(o)].Memory
	return memory == verifier.MemKernel || memory == verifier.MemMixed
}

// insn is the instruction that an op stands for.
func (m *machine) insn(o *op) isa.Instruction { return m.prog.in.Insns[m.index(o)] }

func isLoadAcquire(ins isa.Instruction) bool {
	return ins.Op&0xe7 == isa.ClassSTX|isa.ModeATOMIC && ins.Imm == isa.AtomicLoadAcq
}

// refuses says why a pointer must not be used for n bytes at a, or "".
func (m *machine) refuses(from exec.Prov, a, n uintptr, kind access) string {
	r := m.state.Region(from)
	at := a - r.Base
	switch {
	case at >= r.Size || r.Size-at < n:
		return m.describe(from, r, a, n)
	case kind == loads && r.WriteOnly:
		return "points into " + m.regionName(from) + ", which programs may not read (BPF_F_WRONLY_PROG)"
	case kind != loads && r.ReadOnly && from.Region() == exec.RegionPacket:
		return fmt.Sprintf("points into the packet, which programs of type %s may not write", m.prog.in.Type.Name)
	case kind != loads && r.ReadOnly && from.Region() == exec.RegionCtx:
		return fmt.Sprintf("points into the context, which programs of type %s may not write", m.prog.in.Type.Name)
	case kind != loads && r.ReadOnly && from.Region() == exec.RegionSock:
		return "points to a socket, which programs may not write"
	case kind != loads && r.ReadOnly && from.Region() == exec.RegionBTF:
		return fmt.Sprintf("points into %s, memory of the kernel: helpers do not write there", m.regionName(from))
	case kind != loads && r.ReadOnly:
		return "points into " + m.regionName(from) + ", which programs may not write (BPF_F_RDONLY_PROG)"
	}
	return ""
}

// describe says what a pointer may be used for, where an access of n bytes at a
// is not that.
func (m *machine) describe(from exec.Prov, r exec.Region, a, n uintptr) string {
	at := int64(a - r.Base)
	wants := fmt.Sprintf("the access wants bytes %d..%d", at, at+int64(n))
	switch from.Region() {
	case exec.RegionNone:
		s := fmt.Sprintf("is a number (0x%x), not a pointer", uint64(a))
		if from.Elem() != 0 && from != exec.Nowhere {
			call := int(from.Elem()) - 1
			s += fmt.Sprintf(": test the result of %s (instruction %d) before use", m.prog.calledAt(call), call)
		}
		return s
	case exec.RegionCtx:
		if len(m.prog.in.Type.Fields) > 0 {
			return fmt.Sprintf("points to the context, which is not memory: its fields are loaded and stored one by one (%s)", m.prog.in.Type.CtxName)
		}
		if hidden := m.state.CtxShape().Hidden; at < 0 && at >= -int64(hidden) {
			return fmt.Sprintf("points to the context, whose first %d bytes are not for programs", hidden)
		}
		return fmt.Sprintf("may reach %d bytes from the context's first byte, %s", r.Size, wants)
	case exec.RegionPacket:
		return fmt.Sprintf("may reach %d bytes from the packet's first byte, %s", r.Size, wants)
	case exec.RegionMeta:
		return fmt.Sprintf("may reach %d bytes from the metadata's first byte, %s", r.Size, wants)
	case exec.RegionPacketEnd:
		return "is the packet's end: it may be compared with, not accessed"
	case exec.RegionStale:
		return fmt.Sprintf("pointed into the packet until %s (instruction %d) moved it: load data and data_end again, and test them", m.prog.calledAt(int(from.Elem())), from.Elem())
	case exec.RegionMap:
		return fmt.Sprintf("is %s itself, not a value in it: look one up with bpf_map_lookup_elem", m.regionName(from))
	case exec.RegionFunc:
		return fmt.Sprintf("is the function at instruction %d: it may be called back, not accessed", from.Elem())
	case exec.RegionBuffer:
		return fmt.Sprintf("may reach %d bytes from the first byte of what the context points to, %s", r.Size, wants)
	case exec.RegionSock:
		if r.Size == 0 {
			return "points to a socket that was released"
		}
		return fmt.Sprintf("may reach %d bytes from the first byte of a socket, %s", r.Size, wants)
	case exec.RegionBTF:
		return fmt.Sprintf("may reach the %d bytes of %s, %s", r.Size, m.regionName(from), wants)
	case exec.RegionHeap:
		if r.Size == 0 {
			return "points to an object that was dropped"
		}
		return fmt.Sprintf("may reach %d bytes from the first byte of %s, %s", r.Size, m.regionName(from), wants)
	case exec.RegionSlot:
		return "was loaded from a dynptr or an iterator, whose bytes mean nothing to programs"
	case exec.RegionRecord:
		if r.Size == 0 {
			return "points into a record that was submitted or discarded"
		}
		return fmt.Sprintf("may reach %d bytes from the record's first byte, %s", r.Size, wants)
	}
	if depth := int(from.Region()) - int(exec.RegionStack); depth < exec.MaxDepth {
		if r.Size == 0 {
			return "points into the stack of a function that has returned"
		}
		return fmt.Sprintf("may reach bytes -%d..0 of its function's stack, the access wants bytes %d..%d",
			isa.StackSize, at-isa.StackSize, at-isa.StackSize+int64(n))
	}
	if r.Size == 0 {
		return fmt.Sprintf("points into %s, which is closed", m.regionName(from))
	}
	return fmt.Sprintf("may reach %d bytes from the first byte of %s, %s", r.Size, m.regionName(from), wants)
}

// regionName names the map that a pointer belongs to, or the memory.
func (m *machine) regionName(from exec.Prov) string {
	if from.Region() == exec.RegionBTF {
		return m.state.Env.Objects.At(int(from.Elem())).Type
	}
	if from.Region() == exec.RegionHeap {
		o, _ := object.Get(from.Elem())
		return o.Layout.Name
	}
	h, what := from.Region().Handle(), "a value of map "
	if from.Region() == exec.RegionMap {
		h, what = maps.Handle(from.Elem()), "map "
	}
	if h == 0 {
		return "memory"
	}
	if mp := maps.Get(h); mp != nil {
		return what + mp.Info().Name
	}
	return "a map that is closed"
}

// calledAt names the helper that an instruction of the program calls.
func (p *Program) calledAt(i int) string {
	switch {
	case i < 0 || i >= len(p.in.Insns):
	case p.in.Insns[i].IsCall(isa.CallHelper):
		return helperName(uint32(p.in.Insns[i].Imm))
	case p.in.Kfuncs[i] != nil:
		return p.in.Kfuncs[i].Name
	}
	return "a helper"
}

// accessCtx does a load or store of a context field in checked mode.
func (m *machine) accessCtx(o *op) {
	ins := m.insn(o)
	reg := addressReg(ins)
	value := uint64(int64(ins.Imm))
	if ins.Class() == isa.ClassSTX {
		value = m.reg[ins.Src]
	}
	v, f, reason := m.prog.accessField(m.state, ins, m.reg[reg], value)
	if reason != "" {
		m.fail(o, fmt.Sprintf("R%d %s", reg, reason))
		return
	}
	if ins.Class() != isa.ClassLDX {
		return
	}
	m.reg[ins.Dst] = v
	m.prov[ins.Dst] = ctxProv[f.Kind]
	if f.Kind == progtype.SocketPtr && v != 0 {
		m.prov[ins.Dst] = m.state.HoldSocket(v, false, false, 0)
	}
}

// accessField does a load or store of a context field, which lies elsewhere than the
// program sees it, and gives what was loaded, and the field. reason says what is wrong.
func (p *Program) accessField(s *exec.State, ins isa.Instruction, base, value uint64) (v uint64, f *progtype.Field, reason string) {
	if ins.Op&0xe0 == isa.ModeATOMIC {
		return 0, nil, "points to the context, which has no atomic access"
	}
	size, write := isa.SizeOf(ins.Op), ins.Class() != isa.ClassLDX
	off := int(int64(base) + int64(ins.Off) - int64(s.Ctx()))
	f, err := p.in.Type.Access(off, size, write)
	if err != nil {
		return 0, nil, fmt.Sprintf("points to the context: %v", err)
	}
	at := s.Ctx() + uintptr(f.At) + uintptr(off-int(f.Off))
	if !write {
		width, shift := size, 0
		if f.Width != 0 {
			at, width, shift = s.Ctx()+uintptr(f.At), int(f.Width), f.Shift(off, size)
		}
		v = loadWidth(at, width) >> shift
		if f.Kind == progtype.Scalar {
			v &= ^uint64(0) >> (64 - size*8)
		}
		return extend(ins, v), f, ""
	}
	if f.Width != 0 && size == int(f.Size) {
		value, size = value&(^uint64(0)>>(64-size*8)), int(f.Width)
	}
	if f.Limit == 0 || value < uint64(f.Limit) {
		storeWidth(at, size, value)
	}
	return 0, f, ""
}

// ctxProv is where the value of a context field points.
var ctxProv = [...]exec.Prov{
	progtype.Scalar:    0,
	progtype.PacketPtr: exec.Make(exec.RegionPacket, 0),
	progtype.MetaPtr:   exec.Make(exec.RegionMeta, 0),
	progtype.PacketEnd: exec.Make(exec.RegionPacketEnd, 0),
	progtype.BufferPtr: exec.Make(exec.RegionBuffer, 0),
	progtype.SocketPtr: 0,
}

func loadWidth(a uintptr, width int) uint64 {
	switch width {
	case 1:
		return uint64(*(*uint8)(mem.At(a)))
	case 2:
		return uint64(*(*uint16)(mem.At(a)))
	case 4:
		return uint64(*(*uint32)(mem.At(a)))
	}
	return *(*uint64)(mem.At(a))
}

func storeWidth(a uintptr, width int, v uint64) {
	switch width {
	case 1:
		*(*uint8)(mem.At(a)) = uint8(v)
	case 2:
		*(*uint16)(mem.At(a)) = uint16(v)
	case 4:
		*(*uint32)(mem.At(a)) = uint32(v)
	default:
		*(*uint64)(mem.At(a)) = v
	}
}
