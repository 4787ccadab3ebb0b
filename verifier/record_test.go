package verifier

import (
	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/program"
)

// Walk is a verification with all that was known on its way, for tests that follow
// runs through it ([Follower]).
type Walk struct {
	c     *checker
	nodes []*node
	kept  map[*state]*node
	last  *state // the one that was kept just now
	// everyNumber says that nothing was forgotten because no safety depended on it.
	everyNumber bool
	facts       []Fact // once they were asked for
}

// node is the moment before an instruction on a path.
type node struct {
	insn   int
	frames []frame
	kept   *state  // where a state was kept then
	next   []*node // where paths go on, in those that they ended at where they were covered
}

// Record verifies a program and keeps what it knew. With everyNumber, states are
// covered only by those that contain all their numbers, so that no number that a
// run may have is outside all of them.
func Record(img *program.Image, specs map[string]*ebpf.MapSpec, opts *Options, everyNumber bool) (*Walk, error) {
	c, err := newChecker(img, specs, opts)
	if err != nil {
		return nil, err
	}
	w := &Walk{c: c, everyNumber: everyNumber}
	c.watch, c.everyNumber = w, everyNumber
	return w, c.run()
}

// begin implements watcher.
func (w *Walk) begin() { w.nodes, w.kept, w.last = nil, map[*state]*node{}, nil }

// Summarised reports whether loops were summarised.
func (w *Walk) Summarised() bool { return w.c.summary != nil }

// step implements watcher. The number of a path's last node is in its trail, which
// branches take along.
func (w *Walk) step(c *checker) {
	n := &node{insn: c.insn, kept: w.last}
	for _, f := range c.st.frames {
		g := *f
		g.stack = append([]slot(nil), f.stack...)
		n.frames = append(n.frames, g)
	}
	if t := c.st.trail; t != nil {
		before := w.nodes[t.insn]
		before.next = append(before.next, n)
	}
	c.st.trail = &trail{insn: len(w.nodes)}
	w.nodes = append(w.nodes, n)
	if w.last != nil {
		w.kept[w.last], w.last = n, nil
	}
}

func (w *Walk) keep(kept *state) { w.last = kept }

func (w *Walk) covered(c *checker, by *state) {
	before := w.nodes[c.st.trail.insn]
	before.next = append(before.next, w.kept[by])
}
