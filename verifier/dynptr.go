package verifier

// overwriteDynptr ends the dynptr that a slot is part of, when a store hits it;
// one that holds a reference may not be overwritten (destroy_if_dynptr_stack_slot).
func (c *checker) overwriteDynptr(f *frame, slot int) error {
	return c.fail(CauseUnsupported, "overwriteDynptr is not implemented")
}
