package interp

import (
	"fmt"

	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/helper"
)

// Dynptrs and iterators lie on the stack, and are the machine's to change.
// Checked mode marks their words in the shadow: a store of the program's takes
// the mark away, and then they are no dynptr or iterator any more. A mark says
// which word it belongs to, so that a copy elsewhere is none.

func slotMark(kind helper.Slot, at uintptr) exec.Prov {
	return exec.Make(exec.RegionSlot, uint32(kind)<<16|uint32(at/8))
}

// mark makes n bytes at a, which are on the stack, an object of a kind.
func (m *machine) mark(kind helper.Slot, a, n uintptr) {
	m.written(a, n)
	for at := a - m.state.Stack(); n > 0; at, n = at+8, n-8 {
		m.shadow[at/8] = slotMark(kind, at)
	}
}

// marked reports whether n bytes at a are an object of a kind.
func (m *machine) marked(kind helper.Slot, a, n uintptr) bool {
	at := a - m.state.Stack()
	if at >= stackBytes || at%8 != 0 || at+n > stackBytes {
		return false
	}
	for ; n > 0; at, n = at+8, n-8 {
		if m.shadow[at/8] != slotMark(kind, at) {
			return false
		}
	}
	return true
}

// slotArgument holds an argument that is a dynptr or an iterator: to be made, to
// be used, or to be ended.
func (m *machine) slotArgument(h *helper.Helper, kind helper.Arg, r int) string {
	from, a := m.prov[r], uintptr(m.reg[r])
	slot := h.Slot
	if slot == 0 {
		slot = helper.SlotDynptr
	}
	size := slot.Size()
	switch kind {
	case helper.ArgPtrToUninitSlot:
		if depth := from.Region() - exec.RegionStack; depth >= exec.MaxDepth || a%8 != 0 {
			return fmt.Sprintf("does not point to %d bytes of the stack for a %s", size, slot)
		}
		if reason := m.memory(r, size, stores); reason != "" {
			return reason
		}
		if m.state.Owns(slotMark(slot, a-m.state.Stack())) {
			return fmt.Sprintf("points to a %s that is in use", slot)
		}
		m.mark(slot, a, size)
		if h.Flags&helper.Acquire != 0 {
			m.state.Own(slotMark(slot, a-m.state.Stack()))
		}
		return ""
	case helper.ArgPtrToSlot:
		if m.marked(slot, a, size) || slot == helper.SlotDynptr && m.state.LentDynptr(from, a) {
			return ""
		}
	case helper.ArgPtrToReleasedSlot:
		if m.marked(slot, a, size) && (h.Flags&helper.Release == 0 || m.state.Disown(slotMark(slot, a-m.state.Stack()))) {
			m.written(a, size)
			return ""
		}
	}
	return fmt.Sprintf("does not point to a %s", slot)
}
