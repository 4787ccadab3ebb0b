package kernel

// explain makes a sentence of what the kernel said.
func explain(err error) error { return err }
