package verifier

// visited reports whether a state kept at c.insn covers the current one, and keeps
// the current one where that pays off. It finds loops that make no progress.
func (c *checker) visited() (covered bool, err error) {
	return false, nil
}

// pathDone counts the current path as followed to its end.
func (c *checker) pathDone() error {
	return c.fail(CauseUnsupported, "pathDone is not implemented")
}
