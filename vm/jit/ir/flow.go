package ir

// flow is the order in which a pass follows what is known from block to block.
type flow struct {
	// order has the blocks that may be reached, each behind all that lead to it, but
	// for those that lead back to a loop's first block.
	order []int32
	// place is where a block is in order, from 1; 0: nowhere.
	place []int32
	// repeats are the variables that are written in the loop that begins with a block, and so
	// may differ when it comes to the block again; all of them for a circle that
	// can be entered elsewhere too; none where no loop begins.
	repeats []Set
	// circular says that edges lead back.
	circular bool
}

// everything is the set of all variables.
const everything = ^Set(0)

// flow finds the order of a function's blocks and its loops.
func (f *Func) flow() *flow {
	n := len(f.Blocks)
	work := f.workspace()
	w := &flow{order: work.int32s.room(n), place: work.int32s.make(n), repeats: work.sets.make(2 * n)}
	w.sort(f)
	w.loops(f)
	return w
}

// sort fills in order, place and circular.
func (w *flow) sort(f *Func) {
	if w.asLaidOut(f) {
		return
	}
	w.order = w.order[:0]
	clear(w.place)
	n := len(f.Blocks)
	sides := f.workspace().int32s.make(n)
	path := append(f.workspace().int32s.room(n), 0) // from the first block to where the walk is
	w.place[0] = 1
	for len(path) > 0 {
		at := path[len(path)-1]
		if side := sides[at]; side < 2 {
			sides[at]++
			if to := f.Blocks[at].Succ[1-side]; to >= 0 && w.place[to] == 0 {
				w.place[to] = 1
				path = append(path, to)
			}
			continue
		}
		w.order = append(w.order, at)
		path = path[:len(path)-1]
	}
	for i, j := 0, len(w.order)-1; i < j; i, j = i+1, j-1 {
		w.order[i], w.order[j] = w.order[j], w.order[i]
	}
	for i, at := range w.order {
		w.place[at] = int32(i) + 1
	}
	for _, at := range w.order {
		for _, to := range f.Blocks[at].Succ {
			w.circular = w.circular || to >= 0 && w.leadsBack(at, to)
		}
	}
}

// asLaidOut takes the order in which the blocks lie, and reports whether it can be that: no
// block that may be reached leads to one before it.
func (w *flow) asLaidOut(f *Func) bool {
	w.place[0] = 1
	for at := range f.Blocks {
		if w.place[at] == 0 {
			continue
		}
		w.order = append(w.order, int32(at))
		w.place[at] = int32(len(w.order))
		for _, to := range f.Blocks[at].Succ {
			switch {
			case to < 0:
			case int(to) <= at:
				return false
			default:
				w.place[to] = 1 // to be reached
			}
		}
	}
	return true
}

// loops fills in repeats, inner loops first. A loop that is done is as one block for those
// around it.
func (w *flow) loops(f *Func) {
	if !w.circular {
		return
	}
	n := len(f.Blocks)
	var (
		edges  = f.edges()
		writes = w.repeats[n:] // of a block, or the loop that it begins
		within = f.workspace().int32s.make(n)
		todo   []int32
	)
	for at := range within {
		within[at] = int32(at)
		for k := range f.Blocks[at].Ins {
			writes[at] |= f.Blocks[at].Ins[k].Kills()
		}
	}
	find := func(at int32) int32 {
		for within[at] != at {
			within[at] = within[within[at]]
			at = within[at]
		}
		return at
	}
	for p := len(w.order) - 1; p >= 0; p-- {
		head, loop := w.order[p], false
		for e := edges.first[head]; e != 0; e = edges.next[e-1] {
			if from := (e - 1) / 2; w.leadsBack(from, head) {
				loop = true
				todo = append(todo, find(from))
			}
		}
		for len(todo) > 0 {
			at := find(todo[len(todo)-1])
			todo = todo[:len(todo)-1]
			switch {
			case at == head:
				continue
			case !w.leadsBack(at, head):
				writes[head] = everything // comes from outside
				continue
			}
			within[at] = head
			writes[head] |= writes[at]
			for e := edges.first[at]; e != 0; e = edges.next[e-1] {
				if from := (e - 1) / 2; w.place[from] != 0 {
					todo = append(todo, from)
				}
			}
		}
		if loop {
			w.repeats[head] = writes[head]
		}
	}
}

// leadsBack reports whether an edge from one block to another is against the order.
func (w *flow) leadsBack(from, to int32) bool {
	return w.place[from] >= w.place[to] && w.place[from] != 0
}
