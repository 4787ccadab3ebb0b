package verifier

import "github.com/skep-ebpf/skep/isa"

// callKfunc looks at a call of a kernel function.
func (c *checker) callKfunc(ins *isa.Instruction) error {
	return c.fail(CauseUnsupported, "callKfunc is not implemented")
}
