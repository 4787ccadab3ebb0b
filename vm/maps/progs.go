package maps

import (
	"sync"
	"sync/atomic"
)

// progs is every program that may stand in a program array, by number. A reader
// takes the slice as it is; a writer replaces it.
var progs struct {
	sync.Mutex
	byID atomic.Pointer[[]any]
}

// ProgArray is a map whose values are programs, as a tail call sees it.
type ProgArray interface {
	Map
	// Prog gives the program at an index, as it was registered, or nil.
	Prog(index uint32) any
	// Entries is the address of a word of 8 bytes for each element: what [Entered] says
	// of the program, 0 where there is none.
	Entries() uintptr
}

// RegisterProg gives a program its number, for user space to put into a program
// array. Only the engine that runs it knows what p is.
func RegisterProg(p any) uint32 {
	progs.Lock()
	defer progs.Unlock()
	id := TakeNumber()
	next := make([]any, max(len(allProgs()), int(id)+1))
	copy(next, allProgs())
	next[id] = p
	progs.byID.Store(&next)
	return id
}

// UnregisterProg ends a number; it may then be given to another program.
func UnregisterProg(id uint32) {
	progs.Lock()
	defer progs.Unlock()
	if ProgByID(id) == nil {
		return
	}
	next := append([]any(nil), allProgs()...)
	next[id] = nil
	progs.byID.Store(&next)
	FreeNumber(id)
}

// ProgByID gives the program of a number, or nil.
func ProgByID(id uint32) any {
	if all := allProgs(); uint64(id) < uint64(len(all)) {
		return all[id]
	}
	return nil
}

func allProgs() []any {
	if p := progs.byID.Load(); p != nil {
		return *p
	}
	return nil
}
