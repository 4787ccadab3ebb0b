package verifier

import (
	"fmt"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/maps"
)

// outside says what of a run a node does not contain; "" where it contains all that
// counts.
func (w *Walk) outside(n *node, s RunStep) string {
	if len(n.frames) != s.Depth-s.Base+1 {
		return fmt.Sprintf("there are %d frames, not %d", s.Depth-s.Base+1, len(n.frames))
	}
	r := run{RunStep: s, walk: w}
	for i := range n.frames {
		f := &n.frames[i]
		if n.kept != nil { // which is precise, is only known of it
			f = n.kept.frames[i]
		}
		counts := func(precise bool) bool { return w.everyNumber || n.kept != nil && precise }
		first := 0
		if i+1 < len(n.frames) {
			first = isa.R6 // those that a call preserves
		}
		for reg := first; reg < isa.R10; reg++ {
			v, from := s.Reg(s.Base+i, uint8(reg))
			if why := r.differs(&f.regs[reg], v, from, counts(f.precise>>reg&1 != 0)); why != "" {
				return fmt.Sprintf("frame %d, R%d %s", i, reg, why)
			}
		}
		for at := range f.stack {
			v, from := s.Slot(s.Base+i, fp(at))
			if why := r.slotDiffers(&f.stack[at], v, from, counts(f.preciseSlots>>at&1 != 0)); why != "" {
				return fmt.Sprintf("frame %d, fp%d %s", i, fp(at), why)
			}
		}
	}
	return ""
}

// run is a run that is compared with a node.
type run struct {
	RunStep
	walk   *Walk
	shared []shared
}

// shared is what the registers with an ID have in common: a number, the lower half of
// one, or, of pointers, whether they are NULL.
type shared struct {
	id uint32
	v  uint64
}

// differs says how a register is none of those that one describes.
func (r *run) differs(reg *Reg, v uint64, from exec.Prov, number bool) string {
	switch {
	case reg.Type == NotInit:
		return "" // nothing is known of it, or nobody reads it
	case reg.Type != Scalar:
		return r.pointerDiffers(reg, v, from)
	case !number:
		return ""
	case !reg.Has(v):
		return fmt.Sprintf("is %#x, not of %s", v, r.text(reg))
	}
	if !r.walk.everyNumber || reg.ID == 0 {
		return ""
	}
	if reg.ID&idAddConst != 0 {
		v -= uint64(int64(reg.Delta))
	}
	return r.shares(reg.ID&^idAddConst, v, reg.ID&idAddConst32 != 0)
}

// shares says how something differs from what shares its ID. Of 32-bit sums, the
// lower halves are compared.
func (r *run) shares(id uint32, v uint64, half bool) string {
	for _, o := range r.shared {
		if o.id == id && (uint32(o.v) != uint32(v) || !half && o.v != v) {
			return fmt.Sprintf("has ID %d with %#x, not %#x", id, v, o.v)
		}
	}
	if !half {
		r.shared = append(r.shared, shared{id, v})
	}
	return ""
}

// pointerDiffers is differs of pointers.
func (r *run) pointerDiffers(reg *Reg, v uint64, from exec.Prov) string {
	if reg.maybeNull() {
		null := uint64(0)
		if v == 0 {
			null = 1
		}
		if why := r.shares(reg.ID, null, false); why != "" && reg.ID != 0 {
			return why
		}
		if v == 0 {
			return ""
		}
	}
	if reg.Type == PtrToBTF {
		return "" // into the kernel's memory, which the machine has only in parts
	}
	base, ok := r.object(reg, from)
	if !ok {
		return fmt.Sprintf("is %#x from %#x, not %s", v, uint64(from), r.text(reg))
	}
	first := v - uint64(int64(reg.Off)) // where it leads without the fixed part
	if !reg.Value.Has(first - base) {
		return fmt.Sprintf("leads to byte %d, not as %s", int64(v-base), r.text(reg))
	}
	p := &r.State.Packet
	switch {
	case reg.Type == PtrToPacket && reg.Range > 0 && first+uint64(reg.Range) > uint64(p.DataEnd),
		reg.Type == PtrToPacketMeta && reg.Range > 0 && first+uint64(reg.Range) > uint64(p.Data):
		return fmt.Sprintf("has less than %d bytes behind it, as %s", reg.Range, r.text(reg))
	case reg.Type == PtrToPacket && reg.Range == atPacketEnd && v < uint64(p.DataEnd),
		reg.Type == PtrToPacket && reg.Range == beyondPacketEnd && v <= uint64(p.DataEnd):
		return fmt.Sprintf("is inside the packet, not as %s", r.text(reg))
	}
	return ""
}

// object is the address of what a pointer leads into, where it is of the kind and the
// object that a register describes. Of other kinds, no generator makes pointers.
func (r *run) object(reg *Reg, from exec.Prov) (base uint64, ok bool) {
	p, region := &r.State.Packet, from.Region()
	switch reg.Type {
	case PtrToCtx:
		return uint64(r.State.Ctx()), region == exec.RegionCtx
	case PtrToStack:
		depth := r.Base + int(reg.Frame)
		return uint64(r.FP(depth)), region == exec.RegionStack+exec.RegionID(depth)
	case PtrToPacket:
		return uint64(p.Data), region == exec.RegionPacket
	case PtrToPacketMeta:
		return uint64(p.Meta), region == exec.RegionMeta
	case PtrToPacketEnd:
		return uint64(p.DataEnd), region == exec.RegionPacketEnd
	case PtrToMapValue:
		h := region.Handle()
		return uint64(r.State.Region(from).Base), h != 0 && isMap(h, reg.Map)
	case ConstPtrToMap:
		return uint64(from.Elem()), region == exec.RegionMap && isMap(maps.Handle(from.Elem()), reg.Map)
	case PtrToFunc:
		return uint64(r.walk.c.funcs[reg.Size].Start), region == exec.RegionFunc
	}
	return 0, false
}

// isMap reports whether a map is the one that is meant. Inner maps have no names.
func isMap(h maps.Handle, m *Map) bool {
	return maps.Get(h).Info().Name == m.Name && maps.Get(h).Info().ValueSize == m.ValueSize
}

// slotDiffers is differs of 8 bytes of the stack.
func (r *run) slotDiffers(s *slot, v uint64, from exec.Prov, number bool) string {
	spilled := 0
	for i, k := range s.kind {
		switch {
		case k == slotSpill && i == spilled:
			spilled++
		case k == slotZero && v>>(8*i)&0xff != 0:
			return fmt.Sprintf("is %#x, but byte %d should be 0", v, i)
		}
	}
	switch {
	case spilled == 0:
		return ""
	case spilled == 8 || s.reg.Type != Scalar:
		return r.differs(s.reg, v, from, number)
	case !number:
		return ""
	}
	low := v & (1<<(8*spilled) - 1)
	if s.reg.UMax < 1<<(8*spilled) {
		return r.differs(s.reg, low, 0, number)
	}
	// The register was wider than what was stored of it.
	narrow := s.reg.Value
	narrow.Truncate(r.walk.c.rules, spilled)
	if !narrow.Has(low) {
		return fmt.Sprintf("begins with %#x, not the lower %d bytes of %s", low, spilled, r.text(s.reg))
	}
	return ""
}

func (r *run) text(reg *Reg) string { return r.walk.c.regText(reg, r.Depth-r.Base, false) }
