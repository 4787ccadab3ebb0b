package interp

import (
	"fmt"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/vm/exec"
)

// Programs of tracing types follow pointers of the kernel's types without a
// helper. Linux lets them load anywhere from such a pointer, and gives 0 where
// there is no memory. Their contexts are words of 8 bytes that may be such
// pointers.

// isTyped reports whether a pointer leads to typed memory, or would if what it
// was loaded from held an address.
func (m *machine) isTyped(from exec.Prov) bool {
	switch from.Region() {
	case exec.RegionBTF:
		return true
	case exec.RegionCtx:
		return m.state.CtxShape().Form == exec.CtxTyped
	}
	return from == exec.Nowhere
}

// accessTyped does a load from typed memory, or a store where the program's type
// may change the kernel's structures.
func (m *machine) accessTyped(o *op, from exec.Prov, a, n uintptr, kind access) {
	ins := m.insn(o)
	if reason := m.refusesTyped(from, a, n, kind, ins); reason != "" {
		m.fail(o, fmt.Sprintf("R%d %s", addressReg(ins), reason))
		return
	}
	if kind == stores {
		v := uint64(int64(ins.Imm))
		if ins.Class() == isa.ClassSTX {
			v = m.reg[ins.Src]
		}
		storeWidth(a, int(n), v)
		return
	}
	var v uint64
	if at, ok := m.state.Place(a, n); ok || from.Region() == exec.RegionCtx {
		v = loadWidth(at, int(n))
	}
	m.reg[ins.Dst], m.prov[ins.Dst] = extend(ins, v), 0
	if n == 8 {
		m.prov[ins.Dst] = m.state.Env.Objects.Prov(v)
	}
}

// refusesTyped says why typed memory must not be accessed so, or "".
func (m *machine) refusesTyped(from exec.Prov, a, n uintptr, kind access, ins isa.Instruction) string {
	if from.Region() == exec.RegionCtx {
		size, at := m.state.CtxShape().Size, int64(a-m.state.Ctx())
		switch {
		case kind != loads || ins.Op&0xe0 == isa.ModeATOMIC:
			return fmt.Sprintf("points to the context, which programs of type %s may not write", m.prog.in.Type.Name)
		case at < 0 || at+int64(n) > int64(size):
			return fmt.Sprintf("points to the context, which has %d words of 8 bytes: the access wants bytes %d..%d", size/8, at, at+int64(n))
		case at%8 != 0:
			return fmt.Sprintf("points to the context, whose words are 8 bytes: the access begins at byte %d", at)
		}
		return ""
	}
	if kind == loads {
		return ""
	}
	if from == exec.Nowhere {
		if _, ok := m.state.Place(a, n); ok {
			return fmt.Sprintf("points into memory of the kernel, which programs of type %s may not write", m.prog.in.Type.Name)
		}
		return m.describe(from, exec.Region{}, a, n)
	}
	object := m.state.Region(from)
	switch at := a - object.Base; {
	case !m.prog.in.Type.WritesObjects:
		return fmt.Sprintf("points into %s, memory of the kernel, which programs of type %s may not write", m.regionName(from), m.prog.in.Type.Name)
	case kind == updates:
		return fmt.Sprintf("points into %s, memory of the kernel, which has no atomic access", m.regionName(from))
	case at >= object.Size || object.Size-at < n:
		return m.describe(from, object, a, n)
	}
	return ""
}
