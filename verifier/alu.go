package verifier

import "github.com/skep-ebpf/skep/isa"

// alu looks at an arithmetic instruction.
func (c *checker) alu(ins *isa.Instruction) error {
	return c.fail(CauseUnsupported, "alu is not implemented")
}
