package verifier

import "github.com/skep-ebpf/skep/isa"

// pushCallback puts the paths aside that go through a callback of the call at c.insn, and
// lets the current one go on as if it was not called (or no more). set fills the callee's
// arguments. Asynchronous callbacks begin a stack of their own.
func (c *checker) pushCallback(ins *isa.Instruction, fn int, set func(caller, callee *frame) error) error {
	return c.fail(CauseUnsupported, "pushCallback is not implemented")
}
