package ir

// Workspace is the memory that compiling takes, for one program after another. A
// program that was lifted in it, and all that passes make of it, lies there until
// [Workspace.Reset]. The zero value is ready.
type Workspace struct {
	ins       arena[Ins]
	blocks    arena[Block]
	funcs     arena[Func]
	kinds     arena[kind]
	int32s    arena[int32]
	sets      arena[Set]
	summaries arena[summary]
	facts     arena[fact]
	nodes     arena[node]
	slots     arena[slot]
	pairs     arena[pair]
	accesses  []*Ins
}

// maxKept is how many instructions a workspace keeps memory for, so that a very long
// program leaves nothing behind. It keeps less of all else.
const maxKept = 16 << 10

// Reset takes the memory of a program back for the next one.
func (w *Workspace) Reset() {
	if len(w.ins.all) > maxKept {
		*w = Workspace{}
		return
	}
	w.ins.used = 0
	w.blocks.used = 0
	w.funcs.used = 0
	w.kinds.used = 0
	w.int32s.used = 0
	w.sets.used = 0
	w.summaries.used = 0
	w.facts.used = 0
	w.nodes.used = 0
	w.slots.used = 0
	w.pairs.used = 0
}

// arena is memory for slices that are given back all at once.
type arena[T any] struct {
	all  []T
	used int // how many of all are given
}

// make gives n zeroes.
func (a *arena[T]) make(n int) []T {
	s := a.room(n)[:n]
	clear(s)
	return s
}

// room gives an empty slice with room for n.
func (a *arena[T]) room(n int) []T {
	if n > len(a.all)-a.used {
		// What was given lies where it is, and goes with the program.
		a.all, a.used = make([]T, max(n, 2*len(a.all), 64)), 0
	}
	s := a.all[a.used : a.used : a.used+n]
	a.used += n
	return s
}

// append is append, with memory of the arena.
func (a *arena[T]) append(s, more []T) []T {
	if n := len(s) + len(more); n > cap(s) {
		s = append(a.room(2*n), s...)
	}
	return append(s, more...)
}

// workspace is where passes take memory for a function; one that was not lifted gets a
// workspace of its own.
func (f *Func) workspace() *Workspace {
	if f.work == nil {
		f.work = new(Workspace)
	}
	return f.work
}
