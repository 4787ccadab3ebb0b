package maps

import (
	"sync"
	"sync/atomic"
)

// Handle is what a program holds where Linux would give it a map's address,
// and what stands for a map inside another map. 0 is no map.
type Handle uint32

// registry is every open map of the process, by handle. A reader takes the
// slice as it is; a writer replaces it.
var registry struct {
	sync.Mutex
	maps atomic.Pointer[[]Map]
}

// Register gives m a handle, which stands in its Info from then on.
func Register(m Map) Handle {
	registry.Lock()
	defer registry.Unlock()
	h := Handle(TakeNumber())
	next := make([]Map, max(len(All()), int(h)+1))
	copy(next, All())
	next[h] = m
	m.Info().Handle = h
	registry.maps.Store(&next)
	return h
}

// Unregister ends a handle; it may then be given to another map.
func Unregister(h Handle) {
	registry.Lock()
	defer registry.Unlock()
	if Get(h) == nil {
		return
	}
	next := append([]Map(nil), All()...)
	next[h] = nil
	registry.maps.Store(&next)
	FreeNumber(uint32(h))
}

// Snapshot gives the open maps as of now; a later snapshot is the same pointer
// exactly where no map was opened or closed in between.
func Snapshot() *[]Map {
	if p := registry.maps.Load(); p != nil {
		return p
	}
	return &none
}

var none []Map

// All gives the open maps by handle. The slice must not be written to; it has
// nil where a handle is free.
func All() []Map { return *Snapshot() }

// Get gives the map of a handle, or nil.
func Get(h Handle) Map {
	if all := All(); int(h) < len(all) {
		return all[h]
	}
	return nil
}
