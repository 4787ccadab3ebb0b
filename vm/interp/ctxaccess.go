package interp

// readsContext reports whether the context is more than plain memory, so that
// the fast loop needs to know which instructions access it.
func (c *compiler) readsContext() bool { return len(c.in.Type.Fields) > 0 }

// convertContext gives the ops for the fast loop; nil sends the program to the
// checked one.
func (c *compiler) convertContext() []op { return nil }
