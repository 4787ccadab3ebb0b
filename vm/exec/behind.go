package exec

// Behind is the kernel's own structures behind the context of a run, such as the struct
// sk_buff behind a struct __sk_buff. They follow what the run makes of its packet and
// its context.
type Behind interface {
	// Find gives the memory from an address on to the end of the structure that it lies
	// in, the first n bytes as the run stands; nil where there is none.
	Find(s *State, addr, n uintptr) []byte
}

// Behind is what [State.Show] was given last, whether for this context or an earlier one.
func (s *State) Behind() Behind { return s.behind }

// Show makes structures visible to the programs of this run. The next context hides
// them.
func (s *State) Show(b Behind) { s.behind, s.shown = b, true }

// Structure gives the memory from an address on to the end of the structure behind the
// context that it lies in, the first n bytes as the run stands; nil where there is none.
func (s *State) Structure(addr, n uintptr) []byte {
	if !s.shown {
		return nil
	}
	return s.behind.Find(s, addr, n)
}
