package verifier

import (
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/verifier/scalar"
	"github.com/skep-ebpf/skep/vm/maps"
)

// The structs that link an object into a list or tree.
const (
	listNode = "bpf_list_node"
	treeNode = "bpf_rb_node"
)

// graphKind is what is said of lists, or of trees.
type graphKind struct {
	root, node         maps.FieldKind
	rootName, nodeName string
}

var (
	lists = graphKind{root: maps.FieldListHead, node: maps.FieldListNode, rootName: "bpf_list_head", nodeName: listNode}
	trees = graphKind{root: maps.FieldRBRoot, node: maps.FieldRBNode, rootName: "bpf_rb_root", nodeName: treeNode}
)

// graphRoot is a list or tree: what it holds, and at which offset of that the node is
// that links it.
type graphRoot struct {
	holds *Type
	at    uint32
}

// node is a register that points to the node of an object in the list or tree.
func (g *graphRoot) node() Reg {
	return Reg{Type: PtrToBTF, Flags: Alloc, Value: scalar.Const(0), Off: int32(g.at), BTF: g.holds}
}

// constOffset is how far a pointer points behind the beginning of its object; false
// where that is not known.
func (r *Reg) constOffset() (int64, bool) {
	return int64(r.Off) + int64(r.Value.Bits.Value), r.Value.IsConst()
}

// fieldAt is the special field that a register points to, or nil. ok is false where the
// offset is not known.
func (r *Reg) fieldAt(kind maps.FieldKind) (f *maps.Field, off int64, ok bool) {
	off, ok = r.constOffset()
	if !ok || off < 0 {
		return nil, off, ok
	}
	if f = r.fields().At(uint32(off)); f == nil || f.Kind&kind == 0 {
		return nil, off, true
	}
	return f, off, true
}

// rootArg looks at an argument that is a list or tree: its lock must be held.
func (c *checker) rootArg(call *kfuncCall, n uint8, kind *graphKind) error {
	r := c.reg(n)
	switch {
	case r.is(PtrToBTF, Alloc) && r.Flags == Alloc:
		if !c.isReferenced(r) {
			return c.failReg(CauseGraph, int(n), "allocated object must be referenced")
		}
	case r.Type != PtrToMapValue || r.Flags != 0:
		return c.failReg(CauseGraph, int(n), "R%d expected pointer to map value or allocated object", n)
	}
	f, off, ok := r.fieldAt(kind.root)
	if !ok {
		return c.failReg(CauseGraph, int(n), "R%d doesn't have constant offset. %s has to be at the constant offset", n, kind.rootName)
	}
	if f == nil {
		return c.failReg(CauseGraph, int(n), "%s not found at offset=%d", kind.rootName, off)
	}
	if err := c.locked(r, n, kind); err != nil {
		return err
	}
	call.root, ok = c.graphRoot(f)
	if !ok {
		return c.failReg(CauseGraph, int(n), "%s of %s:%s is not known", kind.rootName, f.Contains, f.Node)
	}
	return nil
}

// locked demands that the lock beside a list or tree is held.
func (c *checker) locked(r *Reg, n uint8, kind *graphKind) error {
	if c.st.locks > 0 {
		in := any(r.Map)
		if r.Type != PtrToMapValue {
			in = r.BTF
		}
		for i := range c.st.refs {
			l := &c.st.refs[i]
			if 1<<l.kind&refAnyLock != 0 && l.id == r.ID && l.lock == in {
				return nil
			}
		}
		return c.failReg(CauseLock, int(n), "held lock and object are not in the same allocation")
	}
	return c.failReg(CauseLock, int(n), "bpf_spin_lock at off=%d must be held for %s",
		r.fields().Offset(maps.FieldSpinLock), kind.rootName)
}

// graphRoot finds what a list or tree holds.
func (c *checker) graphRoot(f *maps.Field) (*graphRoot, bool) {
	t := c.localStruct(f.Contains)
	if t == nil {
		return nil, false
	}
	for _, m := range t.Type.(*btf.Struct).Members {
		if m.Name == f.Node {
			return &graphRoot{t, m.Offset.Bytes()}, true
		}
	}
	return nil, false
}

// nodeArg looks at an argument that is the node of an object.
func (c *checker) nodeArg(call *kfuncCall, n uint8, kind *graphKind) error {
	r := c.reg(n)
	f, off, ok := r.fieldAt(kind.node)
	if !ok {
		return c.failReg(CauseGraph, int(n), "R%d doesn't have constant offset. %s has to be at the constant offset", n, kind.nodeName)
	}
	if f == nil {
		return c.failReg(CauseGraph, int(n), "%s not found at offset=%d", kind.nodeName, off)
	}
	root := call.root
	if r.BTF != root.holds {
		return c.failReg(CauseGraph, int(n), "operation on %s expects arg#1 %s at offset=%d in struct %s, but arg is at offset=%d in struct %s",
			kind.rootName, kind.nodeName, root.at, root.holds.Name, off, r.BTF.Name)
	}
	call.object = r.BTF
	if off != int64(root.at) {
		return c.failReg(CauseGraph, int(n), "arg#1 offset=%d, but expected %s at offset=%d in struct %s",
			off, kind.nodeName, root.at, root.holds.Name)
	}
	return nil
}

// ownedObject demands that an argument is an object of the program's own types that
// belongs to it.
func (c *checker) ownedObject(n uint8) error {
	r := c.reg(n)
	if r.Type != PtrToBTF || r.Flags != Alloc {
		return c.failReg(CauseGraph, int(n), "R%d expected pointer to allocated object", n)
	}
	if !c.isReferenced(r) {
		return c.failReg(CauseGraph, int(n), "allocated object must be referenced")
	}
	return nil
}

// listNodeArg looks at an argument that is an object in a list, or will be.
func (c *checker) listNodeArg(call *kfuncCall, n uint8, nonOwning bool) error {
	r := c.reg(n)
	if !nonOwning || r.Flags&NonOwning == 0 || c.isReferenced(r) {
		if err := c.ownedObject(n); err != nil {
			return err
		}
	}
	return c.nodeArg(call, n, &lists)
}

// treeNodeArg looks at an argument that is an object in a tree, or will be.
func (c *checker) treeNodeArg(call *kfuncCall, n uint8) error {
	r := c.reg(n)
	switch {
	case call.has(kfAdd):
		if err := c.ownedObject(n); err != nil {
			return err
		}
	case !c.since(6, 16) && (r.Flags&NonOwning == 0 || c.isReferenced(r)):
		return c.failReg(CauseGraph, int(n), "rbtree_remove node input must be non-owning ref")
	case r.Flags&NonOwning == 0 && !c.isReferenced(r):
		return c.failReg(CauseGraph, int(n), "%s can only take non-owning or refcounted bpf_rb_node pointer", call.name)
	case c.inTreeCallback():
		return c.failReg(CauseGraph, int(n), "%s not allowed in rbtree cb", call.name)
	}
	return c.nodeArg(call, n, &trees)
}

// setNonOwning makes a register a pointer to an object that belongs to a list or tree,
// valid while the lock is held; one that counts its owners is so in an RCU section.
func (r *Reg) setNonOwning() {
	r.Flags |= NonOwning
	if r.BTF.Fields.Has(maps.FieldRefcount) {
		r.Flags |= RCU
	}
}

// disown ends a reference whose object went into a list or tree: its pointers stay valid
// while the lock is held (ref_convert_owning_non_owning).
func (c *checker) disown(id uint32) {
	c.st.drop(id)
	c.st.eachReg(func(_ *frame, r *Reg) {
		if r.RefID == id {
			r.RefID, r.ID = 0, 0
			r.setNonOwning()
		}
	})
}
