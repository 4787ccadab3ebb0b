package verifier

import "github.com/skep-ebpf/skep/isa"

// jumpIf looks at a conditional jump or may_goto: it follows one side and puts the other aside,
// with what the comparison tells in each.
func (c *checker) jumpIf(ins *isa.Instruction) error {
	return c.fail(CauseUnsupported, "jumpIf is not implemented")
}
