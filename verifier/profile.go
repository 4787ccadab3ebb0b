package verifier

import (
	"fmt"

	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/verifier/kernels"
	"github.com/skep-ebpf/skep/vm/maps"
)

// profile refuses what the kernel does not know at all, before the walk: its
// program and map types, and instructions, reached or not. Helpers and kernel
// functions are looked up where they are called, as are the forms of an instruction.
func (c *checker) profile() error {
	c.insn = -1
	since, ok := c.kernel.ProgType(c.img.Type)
	if err := c.ask(since, ok, "program type %s", c.img.Type); err != nil {
		return err
	}
	if err := c.permitted(); err != nil {
		return err
	}
	since, ok = c.kernel.AttachType(c.img.Type, c.img.Attach)
	if err := c.ask(since, ok || since == 0, "attach type %s", c.img.Attach); err != nil {
		return err
	}
	for _, m := range c.maps {
		if err := c.profileMap(m); err != nil {
			return err
		}
	}
	defer func() { c.insn = -1 }()
	for i := range c.insns {
		c.insn = i
		if i > 0 && c.insns[i-1].IsWide() {
			continue
		}
		if isForm(&c.insns[i]) && c.asked == nil {
			continue
		}
		if err := c.supported(&c.insns[i]); err != nil {
			return err
		}
	}
	return nil
}

// supported refuses an instruction that the kernel does not have.
func (c *checker) supported(ins *isa.Instruction) error {
	for _, f := range features(ins) {
		if err := c.need(f); err != nil {
			return err
		}
	}
	return nil
}

// isForm reports whether an arithmetic instruction is of a form that its offset tells,
// which Linux looks at only where a path leads to it.
func isForm(ins *isa.Instruction) bool {
	return (ins.Class() == isa.ClassALU || ins.Class() == isa.ClassALU64) && ins.Off != 0
}

// permitted refuses a program whose type this loader may not load.
func (c *checker) permitted() error {
	needs := kernels.ProgCaps(c.img.Type)
	if c.opts.Lacks&needs == 0 {
		return nil
	}
	return c.fail(CausePrivilege, "programs of type %s need %s", c.img.Type, needs)
}

// need refuses the program where the kernel does not have a feature.
func (c *checker) need(f kernels.Feature) error {
	since, ok := c.kernel.Has(f)
	return c.ask(since, ok, "%s", f)
}

// ask refuses the program for what a later Linux brought, unless ok; or tells of it, and
// goes on.
func (c *checker) ask(since kernels.Version, ok bool, format string, args ...any) error {
	switch {
	case ok:
		return nil
	case c.asked != nil:
		c.asked(since, fmt.Sprintf(format, args...))
		return nil
	}
	return c.tooOld(since, format, args...)
}

// tooOld refuses the program for what a later Linux brought, or what this one was built
// without.
func (c *checker) tooOld(since kernels.Version, format string, args ...any) error {
	if c.kernel.String() == "host" && since != 0 && since <= c.kernel.Version() {
		what := fmt.Sprintf(format, args...)
		return c.refuse(&Error{Cause: CauseMissing, Insn: c.insn, Reg: -1, Kernel: what, Missing: "this kernel is built without " + what})
	}
	return c.fail(CauseKernel, "%s: %s", fmt.Sprintf(format, args...), since.Needed())
}

// specialFields are the fields of map values that the tables know.
var specialFields = []struct {
	kind  maps.FieldKind
	field kernels.Field
}{
	{maps.FieldSpinLock, kernels.SpinLockField}, {maps.FieldResSpinLock, kernels.ResSpinLockField},
	{maps.FieldTimer, kernels.TimerField}, {maps.FieldWorkqueue, kernels.WorkqueueField},
	{maps.FieldTaskWork, kernels.TaskWorkField}, {maps.FieldKptr, kernels.KptrField},
	{maps.FieldKptrUntrusted, kernels.KptrField}, {maps.FieldKptrPercpu, kernels.PercpuKptrField},
	{maps.FieldUptr, kernels.UptrField}, {maps.FieldListHead, kernels.ListHeadField},
	{maps.FieldRBRoot, kernels.RBRootField}, {maps.FieldRefcount, kernels.RefcountField},
}

// profileMap refuses a map that the kernel would not create.
func (c *checker) profileMap(m *Map) error {
	since, ok := c.kernel.MapType(m.Type)
	if err := c.ask(since, ok, "map %s of type %s", m.Name, kernels.MapName(m.Type)); err != nil {
		return err
	}
	since, ok = c.kernel.MapFlags(m.Type, m.Flags)
	if err := c.ask(since, ok || since == 0, "map %s with flags %#x", m.Name, m.Flags); err != nil {
		return err
	}
	for _, f := range specialFields {
		if !m.Fields.Has(f.kind) {
			continue
		}
		since, ok := c.kernel.MapField(m.Type, f.field)
		if err := c.ask(since, ok || since == 0, "map %s of type %s with a %s", m.Name, kernels.MapName(m.Type), f.field); err != nil {
			return err
		}
	}
	return nil
}

// features are what an instruction needs of the kernel.
func features(ins *isa.Instruction) (list []kernels.Feature) {
	op := ins.Op & 0xf0
	switch ins.Class() {
	case isa.ClassALU, isa.ClassALU64:
		switch {
		case op == isa.AluMOV && ins.Off == 1 && ins.Op&isa.SrcX != 0:
			list = append(list, kernels.AddrSpaceCast)
		case op == isa.AluEND && ins.Class() == isa.ClassALU64,
			(op == isa.AluDIV || op == isa.AluMOD) && ins.Off == 1,
			op == isa.AluMOV && (ins.Off == 8 || ins.Off == 16 || ins.Off == 32):
			list = append(list, kernels.ISAv4)
		}
	case isa.ClassLDX:
		if ins.Op&0xe0 == isa.ModeMEMSX {
			list = append(list, kernels.ISAv4)
		}
	case isa.ClassSTX:
		switch {
		case ins.Op&0xe0 != isa.ModeATOMIC || ins.Imm == isa.AtomicADD:
		case ins.Imm == isa.AtomicLoadAcq || ins.Imm == isa.AtomicStoreRl:
			list = append(list, kernels.LoadAcquire)
		default:
			list = append(list, kernels.AtomicFetch)
		}
	case isa.ClassJMP:
		switch {
		case op == isa.JmpJCOND:
			list = append(list, kernels.MayGoto)
		case op == isa.JmpJA && ins.Op&isa.SrcX != 0:
			list = append(list, kernels.IndirectJumps)
		case ins.IsCall(isa.CallKfunc):
			list = append(list, kernels.KfuncCalls)
		}
	case isa.ClassJMP32:
		if op == isa.JmpJA {
			list = append(list, kernels.ISAv4)
		}
	case isa.ClassLD:
		if ins.Op != isa.OpLDDW {
			break
		}
		switch ins.Src {
		case isa.PseudoBTFID:
			list = append(list, kernels.TypedKsyms)
		case isa.PseudoFunc:
			list = append(list, kernels.FunctionAddress)
		case isa.PseudoMapIdx, isa.PseudoMapIdxV:
			list = append(list, kernels.MapsByIndex)
		}
	}
	return list
}
