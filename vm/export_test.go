package vm

// Unverified are options under which programs are loaded that Linux would refuse,
// so that tests see checked mode stop them. Nothing outside this package's tests
// can ask for it.
func Unverified(opts ProgramOptions) ProgramOptions {
	opts.unverified = true
	return opts
}

// Opened is how many descriptors programs hold.
func Opened() int {
	opened.mu.Lock()
	defer opened.mu.Unlock()
	return opened.n
}
