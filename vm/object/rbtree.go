package object

// A tree's root is its top node and its first one. A node is its parent and
// colour, its right and left children, and the root that it is in, or 0. The
// rules are those of every red-black tree: a red node has no red child, and all
// paths down have as many black nodes.
const (
	rbParent = 0 // with red in bit 0
	rbRight  = 8
	rbLeft   = 16
	rbOwner  = 24

	rootTop   = 0
	rootFirst = 8

	red = 1
)

func parent(n uintptr) uintptr { return get(n+rbParent) &^ red }

func isRed(n uintptr) bool { return n != 0 && get(n+rbParent)&red != 0 }

func setParent(n, p uintptr) { set(n+rbParent, p|get(n+rbParent)&red) }

func setRed(n uintptr, is bool) {
	v := get(n+rbParent) &^ red
	if is {
		v |= red
	}
	set(n+rbParent, v)
}

// Root gives a tree's top node, or 0.
func Root(root uintptr) uintptr { return get(root + rootTop) }

// First gives a tree's first node, or 0.
func First(root uintptr) uintptr { return get(root + rootFirst) }

// Left and Right give a child of a node of the tree; 0 where there is none or
// the node is in another tree or none.
func Left(root, node uintptr) uintptr { return child(root, node, rbLeft) }

// Right is Left for the other child.
func Right(root, node uintptr) uintptr { return child(root, node, rbRight) }

func child(root, node, side uintptr) uintptr {
	if get(node+rbOwner) != root {
		return 0
	}
	return get(node + side)
}

// Add puts a node into a tree, behind those that it is not less than. It gives
// false where the node is in a tree already. less may fail; then the node is not
// added and the error is passed on.
func Add(root, node uintptr, less func(a, b uintptr) (bool, error)) (bool, error) {
	if get(node+rbOwner) != 0 {
		return false, nil
	}
	var p uintptr
	side, leftmost := uintptr(rbLeft), true
	for at := Root(root); at != 0; at = get(p + side) {
		before, err := less(node, at)
		if err != nil {
			return false, err
		}
		p, side = at, rbLeft
		if !before {
			side, leftmost = rbRight, false
		}
	}
	set(node+rbLeft, 0)
	set(node+rbRight, 0)
	set(node+rbParent, p|red)
	set(node+rbOwner, root)
	if p == 0 {
		set(root+rootTop, node)
	} else {
		set(p+side, node)
	}
	if leftmost {
		set(root+rootFirst, node)
	}
	balanceAdded(root, node)
	return true, nil
}

// balanceAdded restores the rules above a new red node.
func balanceAdded(root, n uintptr) {
	for isRed(parent(n)) {
		p := parent(n)
		g := parent(p)
		near, far := sides(g, p)
		if uncle := get(g + far); isRed(uncle) {
			setRed(p, false)
			setRed(uncle, false)
			setRed(g, true)
			n = g
			continue
		}
		if n == get(p+far) {
			n = p
			rotate(root, n, near)
			p = parent(n)
		}
		setRed(p, false)
		setRed(g, true)
		rotate(root, g, far)
	}
	setRed(Root(root), false)
}

// sides gives the side of p on which n is, and the other.
func sides(p, n uintptr) (near, far uintptr) {
	if get(p+rbLeft) == n {
		return rbLeft, rbRight
	}
	return rbRight, rbLeft
}

// rotate moves n down to a side; its child of the other side takes its place.
func rotate(root, n, side uintptr) {
	other := uintptr(rbLeft + rbRight - side)
	up := get(n + other)
	inner := get(up + side)
	set(n+other, inner)
	if inner != 0 {
		setParent(inner, n)
	}
	replace(root, n, up)
	set(up+side, n)
	setParent(n, up)
}

// replace puts a node, or 0, in n's place below n's parent.
func replace(root, n, by uintptr) {
	p := parent(n)
	if p == 0 {
		set(root+rootTop, by)
	} else {
		near, _ := sides(p, n)
		set(p+near, by)
	}
	if by != 0 {
		setParent(by, p)
	}
}

// Remove takes a node out of a tree. It gives false where it is not in it.
func Remove(root, n uintptr) bool {
	if get(n+rbOwner) != root {
		return false
	}
	if First(root) == n {
		set(root+rootFirst, successor(n))
	}
	left, right := get(n+rbLeft), get(n+rbRight)
	// gap is the node that moved up, below top; black says that a black node is
	// missing on its path.
	var gap, top uintptr
	black := !isRed(n)
	switch {
	case left == 0:
		gap, top = right, parent(n)
		replace(root, n, right)
	case right == 0:
		gap, top = left, parent(n)
		replace(root, n, left)
	default:
		next := right
		for l := get(next + rbLeft); l != 0; l = get(next + rbLeft) {
			next = l
		}
		black = !isRed(next)
		gap, top = get(next+rbRight), parent(next)
		if top == n {
			top = next
		} else {
			replace(root, next, gap)
			set(next+rbRight, right)
			setParent(right, next)
		}
		replace(root, n, next)
		set(next+rbLeft, left)
		setParent(left, next)
		setRed(next, isRed(n))
	}
	if black {
		balanceRemoved(root, gap, top)
	}
	for _, at := range []uintptr{rbParent, rbRight, rbLeft, rbOwner} {
		set(n+at, 0)
	}
	return true
}

// balanceRemoved restores the rules where the path through n, which may be 0,
// below p has one black node too few.
func balanceRemoved(root, n, p uintptr) {
	for p != 0 && !isRed(n) {
		near, far := uintptr(rbLeft), uintptr(rbRight)
		if get(p+rbLeft) != n {
			near, far = far, near
		}
		sibling := get(p + far)
		if isRed(sibling) {
			setRed(sibling, false)
			setRed(p, true)
			rotate(root, p, near)
			sibling = get(p + far)
		}
		if !isRed(get(sibling+rbLeft)) && !isRed(get(sibling+rbRight)) {
			setRed(sibling, true)
			n, p = p, parent(p)
			continue
		}
		if !isRed(get(sibling + far)) {
			setRed(get(sibling+near), false)
			setRed(sibling, true)
			rotate(root, sibling, far)
			sibling = get(p + far)
		}
		setRed(sibling, isRed(p))
		setRed(p, false)
		setRed(get(sibling+far), false)
		rotate(root, p, near)
		n, p = Root(root), 0
	}
	if n != 0 {
		setRed(n, false)
	}
}

// successor is the node after n, or 0, for a node that has none on its left.
func successor(n uintptr) uintptr {
	if next := get(n + rbRight); next != 0 {
		for l := get(next + rbLeft); l != 0; l = get(next + rbLeft) {
			next = l
		}
		return next
	}
	return parent(n)
}
