package ir

import (
	"unsafe"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/jit/abi"
	"github.com/skep-ebpf/skep/vm/maps"
)

// Where a redirect is noted in the context.
const (
	sentKind    = int(abi.OffSent + unsafe.Offsetof(abi.Redirect{}.Kind))
	sentIfindex = int(abi.OffSent + unsafe.Offsetof(abi.Redirect{}.Ifindex))
	sentMap     = int(abi.OffSent + unsafe.Offsetof(abi.Redirect{}.Map))
	sentProg    = int(abi.OffSent + unsafe.Offsetof(abi.Redirect{}.Prog))
	sentKey     = int(abi.OffSent + unsafe.Offsetof(abi.Redirect{}.Key))
	sentFlags   = int(abi.OffSent + unsafe.Offsetof(abi.Redirect{}.Flags))
)

// Verdicts of the helpers that redirect.
const (
	xdpAborted  = 0
	xdpRedirect = 4
	tcShot      = 2
	tcRedirect  = 7
)

// Flags of these helpers.
const (
	redirectIngress   = 1      // bpf_redirect, traffic control
	redirectVerdicts  = 3      // bpf_redirect_map: the verdict where there is no target
	redirectBroadcast = 1 << 3 // to all targets of a map
	redirectExclude   = 1 << 4 // but for where the packet came from
)

// redirect is bpf_redirect of the interface in R1 with flags in R2.
func (e *expander) redirect(s site) {
	allowed, good, bad := uint64(redirectIngress), uint64(tcRedirect), uint64(tcShot)
	if e.calls.Type == ebpf.XDP {
		allowed, good, bad = 0, xdpRedirect, xdpAborted
	}
	refused, next := e.block(), e.block()
	e.imm(And, 4, 2, ^allowed)
	e.branch(Cold, Ne, 4, None, 0, refused)
	e.sent(exec.RedirectInterface, 1, 0, None, None, 2)
	e.constant(0, good)
	e.jump(next)
	e.fail(refused, bad, next)
	e.begin(next)
	e.run(s.rest, s.succ)
}

// redirectMap is bpf_redirect_map of a devmap, with the key in R2 and flags in R3. To
// all targets at once is for the helper.
func (e *expander) redirectMap(s site) {
	m := e.mapOf(s.call)
	layout, _ := maps.NativeTargets(m)
	refused, missing, ask, next := e.block(), e.block(), e.block(), e.block()
	e.imm(And, 4, 3, ^uint64(redirectVerdicts|redirectBroadcast|redirectExclude))
	e.branch(Cold, Ne, 4, None, 0, refused)
	e.add(Ins{Op: Zext, Size: 8, Width: 4, Dst: 4, A: 2, B: None, C: None})
	e.branch(0, Uge, 4, None, uint64(layout.N), missing)
	e.scale(4, 4, uint64(layout.Stride))
	e.imm(Add, 4, 4, uint64(layout.Values))
	e.load(Load, 0, 4, 0, 4)
	e.branch(0, Eq, 0, None, 0, missing)
	if m.Info().ValueSize > 4 {
		e.load(Load, 4, 4, 4, 4)
	} else {
		e.constant(4, 0)
	}
	e.sent(exec.RedirectMap, 0, uint64(m.Info().Handle), 4, 2, 3)
	e.constant(0, xdpRedirect)
	e.jump(next)

	e.begin(missing)
	e.branch(Cold, TestSet, 3, None, redirectBroadcast, ask)
	e.sent(exec.RedirectNone, None, 0, None, None, None)
	e.imm(And, 0, 3, redirectVerdicts)
	e.jump(next)
	e.beginCold(ask)
	e.copy(*s.call)
	e.jump(next)
	e.fail(refused, xdpAborted, next)
	e.begin(next)
	e.run(s.rest, s.succ)
}

// sent notes in the context where the packet goes: what a redirect is of, by variables,
// where None is 0, and by the handle of a map. R5 is used up.
func (e *expander) sent(kind exec.RedirectKind, ifindex Var, handle uint64, prog, key, flags Var) {
	e.op(Context, 5, None, None)
	e.storeImm(5, sentKind, 1+uint64(kind), 4)
	e.store(5, sentIfindex, ifindex, 4)
	e.storeImm(5, sentMap, handle, 4)
	e.store(5, sentProg, prog, 4)
	e.store(5, sentKey, key, 8)
	e.store(5, sentFlags, flags, 8)
}

// storeImm adds a store of a number.
func (b *builder) storeImm(a Var, off int, n uint64, width int) {
	b.add(Ins{Op: Store, Width: uint8(width), Dst: None, A: a, B: None, C: None, Off: int32(off), Imm: int64(n)})
}
