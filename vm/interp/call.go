package interp

import (
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/helper"
	"github.com/skep-ebpf/skep/vm/maps"
	"github.com/skep-ebpf/skep/vm/progtype"
)

// helper calls a helper in checked mode.
func (m *machine) helper(o *op, h *helper.Helper) {
	s := m.state
	copy(s.ArgProv[:], m.prov[isa.R1:isa.R6])
	if reason := m.arguments(h); reason != "" {
		m.fail(o, reason)
		return
	}
	s.RetProv = 0
	r0 := h.Func(s, m.reg[1], m.reg[2], m.reg[3], m.reg[4], m.reg[5])
	if m.err != nil {
		return
	}
	m.reg[isa.R0], m.prov[isa.R0] = r0, m.result(o, h, r0)
	m.acquired(m.index(o), h)
	clear(m.prov[isa.R1:isa.R6])
	if h.MovesPacket {
		m.packetMoved(m.index(o))
	}
}

// result is where a helper's result came from.
func (m *machine) result(o *op, h *helper.Helper, r0 uint64) exec.Prov {
	switch h.Ret {
	case helper.RetPtrToBTF:
		return m.state.Env.Objects.Prov(r0)
	case helper.RetPtrToMapValueOrNull, helper.RetPtrToMemOrNull, helper.RetPtrToMem, helper.RetPtrToObject:
		if r0 == 0 && m.state.RetProv == 0 { // a number, and which call gave it
			return exec.Make(exec.RegionNone, uint32(m.index(o))+1)
		}
		if h.Ret != helper.RetPtrToMapValueOrNull || m.state.RetProv != 0 {
			return m.state.RetProv
		}
		info := maps.Get(maps.Handle(m.reg[isa.R1])).Info()
		if info.Type == ebpf.ArrayOfMaps || info.Type == ebpf.HashOfMaps {
			return exec.Make(exec.RegionMap, uint32(r0))
		}
		return exec.MapValue(info.Handle, info.Values.Index(uintptr(r0)))
	}
	return 0
}

// callx calls the helper whose number a register holds.
func (m *machine) callx(o *op) {
	h, reason := m.prog.helperOf(o.dst, m.reg[o.dst])
	switch {
	case m.checked && m.prov[o.dst].Region() != exec.RegionNone:
		m.fail(o, fmt.Sprintf("R%d is a pointer, and a call by register wants the number of a helper", o.dst))
	case reason != "":
		m.fail(o, reason)
	case m.checked:
		m.helper(o, h)
	default:
		m.reg[isa.R0] = h.Func(m.state, m.reg[1], m.reg[2], m.reg[3], m.reg[4], m.reg[5])
	}
}

// helperOf is the helper of a number that a register holds, or why it may not be called.
func (p *Program) helperOf(reg uint8, value uint64) (h *helper.Helper, reason string) {
	id := uint32(value)
	h = helper.ByID(id)
	switch {
	case id == tailCallID:
		return nil, "bpf_tail_call (helper 12) cannot be called by register"
	case h == nil || uint64(id) != value:
		return nil, fmt.Sprintf("R%d is %d, and there is no helper of this number", reg, int64(value))
	case !h.AllowedIn(p.in.Type.Prog):
		return nil, fmt.Sprintf("R%d is %d, and programs of type %s may not call %s", reg, id, p.in.Type.Name, h.Name)
	}
	return h, ""
}

// tailCall replaces the current frame's program by another, or goes on where
// there is none or too many were called before.
func (m *machine) tailCall(o *op) {
	if m.checked {
		if reason := m.tailCallArguments(); reason != "" {
			m.fail(o, reason)
			return
		}
		m.prov[isa.R0] = 0
		clear(m.prov[isa.R1:isa.R6])
	}
	array, ok := maps.Get(maps.Handle(m.reg[isa.R2])).(maps.ProgArray)
	index := uint32(m.reg[isa.R3])
	if !ok || index >= array.Info().MaxEntries || m.tails >= isa.MaxTailCalls {
		return
	}
	p, ok := array.Prog(index).(interface{ Interpreted() *Program })
	if !ok {
		return
	}
	next := p.Interpreted()
	if !m.checked && !next.Verified() {
		m.fail(o, fmt.Sprintf("tail call of program %s, which the verifier did not see: the run has to be checked", next.in.Name))
		return
	}
	m.tails++
	m.prog = next
	m.frames[m.depth].mayGoto, m.frames[m.depth].base = mayGotoLimit, m.depth
	if m.checked {
		m.prov[isa.R1] = exec.Make(exec.RegionCtx, 0)
	} else {
		m.zero(next.in.Facts[0].Uninit)
	}
	if m.jump(next.entry(m.checked)); addr(m.pc) >= m.limit {
		m.refill()
	}
}

func (m *machine) tailCallArguments() string {
	if m.prov[isa.R1].Region() != exec.RegionCtx || m.reg[isa.R1] != uint64(m.state.Ctx()) {
		return "R1 (argument 1 of bpf_tail_call) is not the context"
	}
	mp, reason := m.mapArgument(isa.R2)
	if reason != "" {
		return "R2 (argument 2 of bpf_tail_call) " + reason
	}
	if _, ok := mp.(maps.ProgArray); !ok {
		return fmt.Sprintf("R2 (argument 2 of bpf_tail_call) is map %s of type %s, not a program array", mp.Info().Name, mp.Info().Type)
	}
	return ""
}

// loadPacket is LD_ABS and LD_IND: R0 becomes bytes of the packet, in network
// order. It gives false where the function ends: at bytes outside the packet,
// with R0 = 0.
func (m *machine) loadPacket(o *op) bool {
	ins := m.insn(o)
	if m.checked {
		if m.prov[isa.R6].Region() != exec.RegionCtx {
			m.fail(o, "R6 is not the context, as packet loads want it")
			return false
		}
		clear(m.prov[isa.R0:isa.R6])
	}
	at := ins.Imm
	if ins.Op&0xe0 == isa.ModeIND {
		at += int32(m.reg[ins.Src])
	}
	v, ok := loadPacket(m.state, at, isa.SizeOf(ins.Op))
	m.reg[isa.R0] = v
	return ok
}

// loadPacket gives bytes of the packet as a number in network order; false where there
// are none at the offset.
func loadPacket(s *exec.State, at int32, size int) (uint64, bool) {
	from := packetAddr(s, at)
	if from == 0 || from+uintptr(size) > s.Packet.DataEnd {
		return 0, false
	}
	b := mem.View(from, size)
	switch size {
	case 1:
		return uint64(b[0]), true
	case 2:
		return uint64(binary.BigEndian.Uint16(b)), true
	}
	return uint64(binary.BigEndian.Uint32(b)), true
}

// Offsets of packet loads from which on they count from another header.
const (
	networkOffset = -0x100000 // SKF_NET_OFF
	macOffset     = -0x200000 // SKF_LL_OFF
)

// packetAddr is the address that a packet load's offset means, or 0.
func packetAddr(s *exec.State, at int32) uintptr {
	if at >= 0 {
		return s.Packet.Data + uintptr(at)
	}
	c := progtype.SKB(s)
	switch {
	case at >= networkOffset && c.Network != 0:
		return uintptr(c.Network) + uintptr(at-networkOffset)
	case at >= macOffset && at < networkOffset && c.Mac != 0:
		return uintptr(c.Mac) + uintptr(at-macOffset)
	}
	return 0
}
