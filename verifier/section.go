package verifier

// inRCU reports whether pointers that RCU protects are valid here: a program that may
// not sleep runs in an RCU section from its beginning to its end.
func (c *checker) inRCU() bool { return c.st.rcu > 0 || c.st.locks > 0 || !c.st.sleepable }

// maySleepHere reports whether calls may sleep here (in_sleepable_context).
func (c *checker) maySleepHere() bool {
	return c.st.rcu == 0 && c.st.preempt == 0 && c.st.locks == 0 && c.st.irqID == 0 && c.st.sleepable
}

// sectionName says in what calls may not sleep here.
func (c *checker) sectionName() string {
	switch {
	case c.st.rcu > 0:
		return "rcu_read_lock region"
	case c.st.preempt > 0:
		return "non-preemptible region"
	case c.st.irqID != 0:
		return "IRQ-disabled region"
	case c.st.locks > 0:
		return "lock region"
	}
	return "non-sleepable prog"
}
