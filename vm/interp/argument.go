package interp

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/helper"
	"github.com/skep-ebpf/skep/vm/maps"
)

// maxMemSize is the longest memory that a helper takes: BPF_MAX_VAR_SIZ.
const maxMemSize = 1 << 29

// tcpHeader is the size of a TCP header without options.
const tcpHeader = 20

// arguments holds the arguments of a call against the helper's prototype. It
// gives "" or the reason why the call must not be made.
func (m *machine) arguments(h *helper.Helper) string {
	var of maps.Map // the map that keys and values belong to
	for i, kind := range h.Args {
		r := isa.R1 + i
		reason := m.argument(h, kind, r, &of)
		if reason != "" {
			return fmt.Sprintf("R%d (argument %d of %s) %s", r, i+1, h.Name, reason)
		}
	}
	return ""
}

// isContext tells whether a pointer is the context, or the socket buffer in a
// netfilter hook's, which to functions is the same.
func (m *machine) isContext(v uint64, from exec.Prov) bool {
	if m.prog.in.Type.Prog == ebpf.Netfilter {
		const skb = 8 // struct bpf_nf_ctx
		ctx := m.state.PlainCtx()
		return len(ctx) >= skb+8 && v == binary.NativeEndian.Uint64(ctx[skb:])
	}
	return from.Region() == exec.RegionCtx && v == uint64(m.state.Ctx())
}

// argument holds one argument against its kind.
func (m *machine) argument(h *helper.Helper, kind helper.Arg, r int, of *maps.Map) (reason string) {
	v, from := m.reg[r], m.prov[r]
	size := func() uintptr { return uintptr(m.reg[r+1]) }
	switch kind {
	case helper.ArgPtrToCtx:
		if !m.isContext(v, from) {
			return "is not the context"
		}
	case helper.ArgConstMapPtr:
		*of, reason = m.mapArgument(r)
		return reason
	case helper.ArgPtrToMapKey:
		return m.memory(r, uintptr(mapSize(*of, func(i *maps.Info) uint32 { return i.KeySize })), loads)
	case helper.ArgPtrToMapValue:
		return m.memory(r, uintptr(mapSize(*of, func(i *maps.Info) uint32 { return i.ValueSize })), loads)
	case helper.ArgPtrToMapValueOrNull:
		if v != 0 {
			return m.argument(h, helper.ArgPtrToMapValue, r, of)
		}
	case helper.ArgPtrToSocket, helper.ArgPtrToSocketOrNull, helper.ArgPtrToOwnedSocket, helper.ArgPtrToCtxOrSocket:
		return m.socketArgument(kind, r)
	case helper.ArgPtrToBTF, helper.ArgPtrToBTFOrNull:
		if v == 0 && kind == helper.ArgPtrToBTFOrNull {
			return ""
		}
		if from.Region() != exec.RegionBTF && from != exec.Nowhere {
			return "is not a pointer to an object of the kernel"
		}
	case helper.ArgPtrToTCPHeader:
		return m.memory(r, tcpHeader, loads)
	case helper.ArgPtrToUninitMapValue:
		return m.memory(r, uintptr(mapSize(*of, func(i *maps.Info) uint32 { return i.ValueSize })), stores)
	case helper.ArgPtrToMem:
		return m.memory(r, size(), loads)
	case helper.ArgPtrToUninitMem:
		return m.memory(r, size(), stores)
	case helper.ArgPtrToMemOrNull:
		if v != 0 || size() != 0 {
			return m.memory(r, size(), loads)
		}
	case helper.ArgPtrToUninitMemOrNull:
		if v != 0 || size() != 0 {
			return m.memory(r, size(), stores)
		}
	case helper.ArgPtrToBufferOrNull:
		if v != 0 {
			return m.memory(r, size(), stores)
		}
	case helper.ArgConstSize:
		if v == 0 {
			return "is a size of 0"
		}
	case helper.ArgPtrToInt:
		return m.readWrite(r, 4)
	case helper.ArgPtrToLong:
		return m.readWrite(r, 8)
	case helper.ArgPtrToFixedMem:
		return m.readWrite(r, uintptr(h.FixedSize))
	case helper.ArgPtrToConstStr:
		return m.constString(r)
	case helper.ArgPtrToFunc:
		if from.Region() != exec.RegionFunc || v != uint64(from.Elem()) {
			return "is not a function of the program"
		}
	case helper.ArgPtrToStackOrNull:
		if depth := from.Region() - exec.RegionStack; v != 0 && depth >= exec.MaxDepth {
			return "is neither a pointer to the stack nor NULL"
		}
	case helper.ArgPtrToSlotOrNull:
		if v != 0 {
			return m.slotArgument(h, helper.ArgPtrToSlot, r)
		}
	case helper.ArgPtrToUninitSlot, helper.ArgPtrToSlot, helper.ArgPtrToReleasedSlot:
		return m.slotArgument(h, kind, r)
	case helper.ArgPtrToOwned, helper.ArgPtrToOwnedOrNull, helper.ArgPtrToObject, helper.ArgPtrToKptr,
		helper.ArgPtrToSpinLock, helper.ArgPtrToResSpinLock, helper.ArgPtrToTimer, helper.ArgPtrToWorkqueue, helper.ArgPtrToTaskWork,
		helper.ArgPtrToListHead, helper.ArgPtrToRBRoot, helper.ArgPtrToOwnedNode, helper.ArgPtrToListNode, helper.ArgPtrToRBNode:
		return m.object(h, kind, r)
	case helper.ArgPtrToRingbufMem:
		if region := m.state.Region(from); from.Region() != exec.RegionRecord || region.Size == 0 || region.Base != uintptr(v) {
			return "is not the beginning of a record that bpf_ringbuf_reserve gave and that is still to be submitted or discarded"
		}
	}
	return ""
}

// memory holds a pointer to n bytes against what it may reach.
func (m *machine) memory(r int, n uintptr, kind access) string {
	if n > maxMemSize {
		return fmt.Sprintf("is memory with a size of %d bytes, and helpers take at most %d", int64(n), maxMemSize)
	}
	from, a := m.prov[r], uintptr(m.reg[r])
	if n == 0 {
		if from.Region() == exec.RegionNone {
			return m.describe(from, exec.Region{}, a, 0)
		}
		return ""
	}
	reason := m.refuses(from, a, n, kind)
	if reason == "" {
		reason = m.guards(from, a, n, kind, keeping)
	}
	if reason == "" && kind == stores {
		m.written(a, n)
	}
	return reason
}

// readWrite is memory that the helper reads and writes.
func (m *machine) readWrite(r int, n uintptr) string {
	if reason := m.memory(r, n, loads); reason != "" {
		return reason
	}
	return m.memory(r, n, stores)
}

// mapArgument is the map that a register holds.
func (m *machine) mapArgument(r int) (maps.Map, string) {
	from, v := m.prov[r], m.reg[r]
	if from.Region() != exec.RegionMap || uint64(from.Elem()) != v {
		return nil, "is not a map"
	}
	mp := maps.Get(maps.Handle(v))
	if mp == nil {
		return nil, "is a map that is closed"
	}
	return mp, ""
}

// constString wants a terminated string in a map that neither programs nor user
// space write.
func (m *machine) constString(r int) string {
	from, a := m.prov[r], uintptr(m.reg[r])
	if region := m.state.Region(from); from.Region().Handle() == 0 || !region.ReadOnly {
		return "is not a string in a read-only map"
	}
	if reason := m.refuses(from, a, 1, loads); reason != "" {
		return reason
	}
	region := m.state.Region(from)
	if bytes.IndexByte(mem.View(a, int(region.Size-(a-region.Base))), 0) < 0 {
		return "is a string without an end in " + m.regionName(from)
	}
	return ""
}

// mapSize is a size of the map that an earlier argument was.
func mapSize(of maps.Map, size func(*maps.Info) uint32) uint32 {
	if of == nil {
		return 0
	}
	return size(of.Info())
}
