package verifier

// structure finds the functions, refuses instructions that do not exist and jumps
// that lead nowhere, marks where states are kept and computes which registers are
// live.
func (c *checker) structure() error {
	return c.fail(CauseUnsupported, "structure is not implemented")
}
