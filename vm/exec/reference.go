package exec

import (
	"slices"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/maps"
	"github.com/skep-ebpf/skep/vm/object"
)

// Reference is something that the program must give back before it ends: an
// object that it owns, a reserved record, an iterator. Checked mode keeps count.
type Reference struct {
	From Prov // of pointers to it
	Insn int  // the call that gave it
}

// Own notes a reference. The engine fills in which call gave it.
func (s *State) Own(from Prov) { s.References = append(s.References, Reference{From: from, Insn: -1}) }

// Owns reports whether the program has a reference.
func (s *State) Owns(from Prov) bool {
	return slices.ContainsFunc(s.References, func(r Reference) bool { return r.From == from })
}

// Disown takes a reference back, and reports whether the program had it.
func (s *State) Disown(from Prov) bool {
	i := slices.IndexFunc(s.References, func(r Reference) bool { return r.From == from })
	if i < 0 {
		return false
	}
	s.References = slices.Delete(s.References, i, i+1)
	return true
}

// Kept is what a program had not given back when it ended. The state has taken it back.
type Kept struct {
	Reference *Reference // the first one; nil: none
	Locks     int        // spin locks
	Records   int        // reserved records of ring buffers
}

// Keeps reports whether the run has something that [State.EndRun] takes back.
func (s *State) Keeps() bool {
	return len(s.References)|len(s.locks)|len(s.Acquired)|s.scratch|len(s.Files) != 0
}

// EndRun takes back what the run that ends has kept.
func (s *State) EndRun() Kept {
	var kept Kept
	for i, r := range s.References {
		if i == 0 {
			kept.Reference = &Reference{From: r.From, Insn: r.Insn}
		}
		if o, ok := object.Get(r.From.Elem()); ok && r.From.Region() == RegionHeap {
			object.Drop(o.Base)
		}
	}
	s.References = s.References[:0]
	s.Files = s.Files[:0]
	kept.Locks, kept.Records = s.UnlockAll(), s.Reclaim()
	return kept
}

// LentDynptr reports whether a pointer is to a dynptr that the machine lent.
func (s *State) LentDynptr(from Prov, addr uintptr) bool {
	i := int(from.Elem())
	return from.Region() == RegionRecord && i < len(s.Acquired) &&
		s.Acquired[i].Live && s.Acquired[i].Dynptr && s.Acquired[i].Addr == addr
}

// HeapProv is where a pointer into an object that programs allocate comes from,
// and whether there is one at the address.
func HeapProv(addr uintptr) (Prov, bool) {
	o, ok := object.Find(addr)
	return Make(RegionHeap, o.Number), ok
}

// heapRegion is what a pointer to an object may reach. A per-CPU object has no
// memory of its own but one for each CPU.
func heapRegion(number uint32) Region {
	o, ok := object.Get(number)
	if !ok {
		return Region{}
	}
	size := uintptr(o.Layout.Size)
	if o.Layout.CPUs > 0 {
		size = uintptr(o.Layout.CPUs) * uintptr(o.Layout.Stride)
	}
	return Region{Base: o.Base, Size: size, ReadOnly: o.Layout.ReadOnly}
}

// ProvOf finds out from an address where a pointer to it comes from; a number
// where it is no memory of this run.
func (s *State) ProvOf(addr uintptr) Prov {
	in := func(base, size uintptr) bool { return addr >= base && addr-base < size }
	switch p := &s.Packet; {
	case p.Data != 0 && in(p.Data, p.DataEnd-p.Data):
		return Make(RegionPacket, 0)
	case p.Meta != 0 && in(p.Meta, p.Data-p.Meta):
		return Make(RegionMeta, 0)
	case in(s.Stack(), stackBytes):
		return Make(RegionStack+RegionID((addr-s.Stack())/isa.StackSize), 0)
	}
	for i := range s.Acquired {
		if r := &s.Acquired[i]; r.Live && in(r.Addr, r.Size) {
			return Make(RegionRecord, uint32(i))
		}
	}
	if p, ok := HeapProv(addr); ok {
		return p
	}
	if i, ok := s.Env.Objects.Find(addr); ok {
		return Make(RegionBTF, uint32(i))
	}
	for _, m := range maps.All() {
		if m == nil {
			continue
		}
		if v := &m.Info().Values; v.N > 0 && in(v.Base, v.Stride*uintptr(v.N)) {
			return MapValue(m.Info().Handle, v.Index(addr))
		}
	}
	return 0
}
