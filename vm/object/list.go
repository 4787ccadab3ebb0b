package object

// A list head is the first and the last node, each 0 in an empty list, as a
// value of zeroes is. A node is the next node, the one before, and the head that
// it is in, or 0.
const (
	nodeNext  = 0
	nodePrev  = 8
	nodeOwner = 16

	headFirst = 0
	headLast  = 8
)

// PushFront puts a node at a list's beginning. It gives false where the node is
// in a list already.
func PushFront(head, node uintptr) bool { return insert(head, node, 0, get(head+headFirst)) }

// PushBack puts a node at a list's end.
func PushBack(head, node uintptr) bool { return insert(head, node, get(head+headLast), 0) }

func insert(head, node, prev, next uintptr) bool {
	if get(node+nodeOwner) != 0 {
		return false
	}
	set(node+nodeNext, next)
	set(node+nodePrev, prev)
	set(node+nodeOwner, head)
	link(head, prev, next, node, node)
	return true
}

// link makes after what follows prev, and before what precedes next; where prev
// or next is 0 it is the head's first or last.
func link(head, prev, next, after, before uintptr) {
	if prev == 0 {
		set(head+headFirst, after)
	} else {
		set(prev+nodeNext, after)
	}
	if next == 0 {
		set(head+headLast, before)
	} else {
		set(next+nodePrev, before)
	}
}

// AddBehind puts a node into a list behind another. It gives false where the
// other is not in this list, or the node is in one already.
func AddBehind(head, node, prev uintptr) bool {
	return get(prev+nodeOwner) == head && insert(head, node, prev, get(prev+nodeNext))
}

// Take takes a node out of a list, and gives it; 0 where it is not in this list.
func Take(head, node uintptr) uintptr {
	if get(node+nodeOwner) != head {
		return 0
	}
	return unlink(head, node)
}

// Front gives a list's first node, or 0.
func Front(head uintptr) uintptr { return get(head + headFirst) }

// Back gives a list's last node, or 0.
func Back(head uintptr) uintptr { return get(head + headLast) }

// PopFront takes a list's first node out, and gives it; 0 where there is none.
func PopFront(head uintptr) uintptr { return unlink(head, Front(head)) }

// PopBack takes a list's last node out.
func PopBack(head uintptr) uintptr { return unlink(head, Back(head)) }

func unlink(head, node uintptr) uintptr {
	if node == 0 {
		return 0
	}
	prev, next := get(node+nodePrev), get(node+nodeNext)
	link(head, prev, next, next, prev)
	set(node+nodeNext, 0)
	set(node+nodePrev, 0)
	set(node+nodeOwner, 0)
	return node
}
