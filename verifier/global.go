package verifier

import "github.com/skep-ebpf/skep/isa"

// callGlobal checks the arguments of a call of a global function against its BTF, and
// takes its result to be anything that its BTF allows.
func (c *checker) callGlobal(ins *isa.Instruction, fn int) error {
	return c.fail(CauseUnsupported, "callGlobal is not implemented")
}

// globalArgs gives what a global function's BTF and tags say of its arguments.
func (c *checker) globalArgs(fn int) ([]globalArg, error) {
	return nil, c.fail(CauseUnsupported, "globalArgs is not implemented")
}

// globalArg is one argument of a global function.
type globalArg struct {
	kind  globalArgKind
	flags RegFlags
	size  uint32 // of memory, bytes
	typ   *Type  // of PtrToBTF
}

type globalArgKind uint8

const (
	globalAnything globalArgKind = iota
	globalContext
	globalMem
	globalDynptr
	globalBTF
	globalArena
)
