package verifier

// States are copied at every branch, so that what they are made of is used again.

// spareFrame gives a frame to be filled.
func (c *checker) spareFrame() *frame {
	if n := len(c.spareFrames); n > 0 {
		f := c.spareFrames[n-1]
		c.spareFrames = c.spareFrames[:n-1]
		return f
	}
	return new(frame)
}

// recycleFrame takes back a frame that no state has any more.
func (c *checker) recycleFrame(f *frame) { c.spareFrames = append(c.spareFrames, f) }

// clone copies a state.
func (c *checker) clone(s *state) *state {
	t := new(state)
	if n := len(c.spareStates); n > 0 {
		t = c.spareStates[n-1]
		c.spareStates = c.spareStates[:n-1]
	}
	frames, refs, history := t.frames[:0], t.refs[:0], t.history[:0]
	*t = *s
	for _, f := range s.frames {
		frames = append(frames, c.cloneFrame(f))
	}
	t.frames, t.refs, t.history = frames, append(refs, s.refs...), append(history, s.history...)
	return t
}

func (c *checker) cloneFrame(f *frame) *frame {
	g := c.spareFrame()
	stack := append(g.stack[:0], f.stack...)
	*g = *f
	g.stack = stack
	return g
}

// recycle takes back a state that nothing refers to any more.
func (c *checker) recycle(s *state) {
	if c.watch != nil {
		return // the watcher may
	}
	for _, f := range s.frames {
		c.recycleFrame(f)
	}
	s.frames = s.frames[:0]
	s.parent, s.older, s.visit, s.equal, s.lockIn = nil, nil, nil, nil, nil
	c.spareStates = append(c.spareStates, s)
}

// forget drops the states of a function that was verified.
func (c *checker) forget() {
	c.kept = make([]*state, len(c.insns))
	c.visits = map[callchain]*visit{}
}
