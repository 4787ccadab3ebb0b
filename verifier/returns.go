package verifier

// returns checks the result of the program, or of a callback (check_return_code).
func (c *checker) returns(n uint8, name string) error {
	return c.fail(CauseUnsupported, "returns is not implemented")
}
