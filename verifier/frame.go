package verifier

import "github.com/skep-ebpf/skep/isa"

// enter makes the state in which a function begins: the main program's, or a
// global function's with arguments as its BTF says ([checker.globalArgs]).
func (c *checker) enter(fn int) error {
	return c.fail(CauseUnsupported, "enter is not implemented")
}

// walkGlobals verifies the global functions that were called, each on its own.
func (c *checker) walkGlobals() error {
	return c.fail(CauseUnsupported, "walkGlobals is not implemented")
}

// callFunction follows a call into a static function, or takes a global function
// for what its BTF says ([checker.callGlobal]).
func (c *checker) callFunction(ins *isa.Instruction) error {
	return c.fail(CauseUnsupported, "callFunction is not implemented")
}

// exit leaves the running function: back to the caller, or the program
// ([checker.released], [checker.returns]).
func (c *checker) exit(ins *isa.Instruction) error {
	return c.fail(CauseUnsupported, "exit is not implemented")
}

// jumpAlways follows an unconditional jump (ja, gotol, gotox).
func (c *checker) jumpAlways(ins *isa.Instruction) error {
	return c.fail(CauseUnsupported, "jumpAlways is not implemented")
}
