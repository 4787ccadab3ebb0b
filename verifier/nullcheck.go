package verifier

import (
	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm/maps"
)

// nullChecked makes a pointer that may be NULL, and all that hold the same, NULL or a
// pointer that is not.
func (s *state) nullChecked(n uint8, null bool) {
	id := s.cur().regs[n].ID
	if null && id != 0 {
		s.drop(id) // nothing was acquired
	}
	s.eachReg(func(_ *frame, r *Reg) {
		switch {
		case !r.maybeNull() || r.ID != id || id == 0 && r.Flags&RCU == 0:
		case null:
			r.setConst(0)
		default:
			r.setNotNull()
		}
	})
}

// setNotNull makes a pointer one that is not NULL. Of some maps, what a lookup finds is
// not a value but what it stands for.
func (r *Reg) setNotNull() {
	r.Flags &^= MaybeNull
	if r.Type != PtrToMapValue {
		return
	}
	switch {
	case r.Map.Inner != nil:
		r.Type, r.Map = ConstPtrToMap, r.Map.Inner
		if r.Map.Fields.Has(maps.FieldTimer | maps.FieldWorkqueue | maps.FieldTaskWork) {
			r.MapUID = r.ID
		}
	case r.Map.Type == ebpf.XSKMap:
		r.Type = PtrToXDPSock
	case r.Map.Type == ebpf.SockMap || r.Map.Type == ebpf.SockHash:
		r.Type = PtrToSocket
	}
}
