package interp

import (
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/helper"
)

// socketArgument holds an argument that is a socket against its kind.
func (m *machine) socketArgument(kind helper.Arg, r int) string {
	v, from := m.reg[r], m.prov[r]
	switch {
	case kind == helper.ArgPtrToSocketOrNull && v == 0,
		kind == helper.ArgPtrToCtxOrSocket && from.Region() == exec.RegionCtx && v == uint64(m.state.Ctx()):
		return ""
	case from.Region() == exec.RegionSock:
		region := m.state.Region(from)
		switch {
		case region.Size == 0:
			return "points to a socket that was released"
		case region.Base != uintptr(v):
			return "does not point to the beginning of a socket"
		case kind == helper.ArgPtrToOwnedSocket && !m.state.OwnsSocket(from):
			return "is a socket that the program need not release: it did not look it up"
		}
		return ""
	case kind != helper.ArgPtrToOwnedSocket && (from.Region() == exec.RegionBTF || from == exec.Nowhere):
		return ""
	case v == 0:
		return "is NULL, not a socket: test the result of the lookup before use"
	}
	return "is not a socket"
}
