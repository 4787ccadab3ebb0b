package verifier

// precise marks a register's number as one that safety depends on, here and back
// along the path to where it came from (mark_chain_precision).
func (c *checker) precise(n uint8) error {
	return c.fail(CauseUnsupported, "precise is not implemented")
}
