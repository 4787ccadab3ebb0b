package verifier

// released refuses to leave the program, or a section, while something is still held (check_resource_leak).
func (c *checker) released(exception bool, where string) error {
	return c.fail(CauseUnsupported, "released is not implemented")
}
