package maps

import "sync/atomic"

// freeList hands out elements 1 to n, which lie at elems + link*stride and have
// room for a link at offFree. What was given back is handed out first, the last
// one first, as in Linux; elements that were never used stay untouched memory.
type freeList struct {
	elems  uintptr
	stride uintptr
	n      uint32
	*freeState
}

// freeState is what changes. It lies where it takes no cache line from who only reads.
type freeState struct {
	head  atomic.Uint64 // link of the first free element, and above it a count of changes
	fresh atomic.Uint32 // elements handed out for the first time
}

// offFree is where an element has the link after it in the list of free ones.
const offFree = 8

func (f *freeList) elem(link uint32) uintptr { return f.elems + uintptr(link)*f.stride }

// pop gives a free element, or 0.
func (f *freeList) pop() uint32 {
	for {
		head := f.head.Load()
		link := uint32(head)
		if link == 0 {
			break
		}
		next := uint64(loadU32(f.elem(link) + offFree))
		if f.head.CompareAndSwap(head, (head>>32+1)<<32|next) {
			return link
		}
	}
	for {
		used := f.fresh.Load()
		if used >= f.n {
			return 0
		}
		if f.fresh.CompareAndSwap(used, used+1) {
			return used + 1
		}
	}
}

// push gives an element back.
func (f *freeList) push(link uint32) {
	for {
		head := f.head.Load()
		storeU32(f.elem(link)+offFree, uint32(head))
		if f.head.CompareAndSwap(head, (head>>32+1)<<32|uint64(link)) {
			return
		}
	}
}
