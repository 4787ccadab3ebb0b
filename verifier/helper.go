package verifier

import "github.com/skep-ebpf/skep/isa"

// callAllowed refuses calls where none may be, as under a spin lock.
func (c *checker) callAllowed(ins *isa.Instruction) error {
	return c.fail(CauseUnsupported, "callAllowed is not implemented")
}

// callHelper looks at a call of a helper.
func (c *checker) callHelper(ins *isa.Instruction) error {
	return c.fail(CauseUnsupported, "callHelper is not implemented")
}
