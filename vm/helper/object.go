package helper

import (
	"sync"

	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/object"
)

func init() {
	register(
		&Helper{ID: 194, Name: "bpf_kptr_xchg", Func: kptrXchg, Flags: Acquire, Ret: RetPtrToObject,
			Args: []Arg{ArgPtrToKptr, ArgPtrToOwnedOrNull}},
	)
	// The functions whose names end in _impl take an argument more, which Linux's
	// verifier fills in. From 7.1 on it adds the argument itself, and programs
	// call the functions by the shorter names.
	both := func(since, name string, h Helper) {
		impl, plain := h, h
		impl.Name, plain.Name = name+"_impl", name
		plain.Since = "7.1"
		registerKfuncs(since, only(kfuncsGeneric, &impl, &plain)...)
	}
	both("6.2", "bpf_obj_new", Helper{Bind: newObject(false), Flags: Acquire | RetNull, Ret: RetPtrToObject,
		Args: []Arg{ArgAnything}})
	both("6.2", "bpf_obj_drop", Helper{Func: dropObject, Flags: Release, Ret: RetVoid,
		Args: []Arg{ArgPtrToOwned}})
	both("6.7", "bpf_percpu_obj_new", Helper{Bind: newObject(true), Flags: Acquire | RetNull, Ret: RetPtrToObject,
		Args: []Arg{ArgAnything}})
	both("6.7", "bpf_percpu_obj_drop", Helper{Func: dropObject, Flags: Release, Ret: RetVoid,
		Args: []Arg{ArgPtrToOwned}})
	both("6.4", "bpf_refcount_acquire", Helper{Func: acquireObject, Flags: Acquire | RetNull, Ret: RetPtrToObject,
		Args: []Arg{ArgPtrToObject}})
	both("6.2", "bpf_list_push_front", Helper{Func: push(object.PushFront), Flags: Release,
		Args: []Arg{ArgPtrToListHead, ArgPtrToOwnedNode}})
	both("6.2", "bpf_list_push_back", Helper{Func: push(object.PushBack), Flags: Release,
		Args: []Arg{ArgPtrToListHead, ArgPtrToOwnedNode}})
	both("6.3", "bpf_rbtree_add", Helper{Func: treeAdd, Flags: Release,
		Args: []Arg{ArgPtrToRBRoot, ArgPtrToOwnedNode, ArgPtrToFunc}})
	registerKfuncs("6.2", only(kfuncsGeneric,
		&Helper{Name: "bpf_list_pop_front", Func: ofField(object.PopFront), Flags: Acquire | RetNull, Ret: RetPtrToObject,
			Args: []Arg{ArgPtrToListHead}},
		&Helper{Name: "bpf_list_pop_back", Func: ofField(object.PopBack), Flags: Acquire | RetNull, Ret: RetPtrToObject,
			Args: []Arg{ArgPtrToListHead}},
	)...)
	both("7.2", "bpf_list_add", Helper{Func: listAdd, Flags: Release,
		Args: []Arg{ArgPtrToListHead, ArgPtrToOwnedNode, ArgPtrToListNode}})
	registerKfuncs("7.2", only(kfuncsGeneric,
		&Helper{Name: "bpf_list_del", Func: child(object.Take), Flags: Acquire | RetNull, Ret: RetPtrToObject,
			Args: []Arg{ArgPtrToListHead, ArgPtrToListNode}},
		&Helper{Name: "bpf_list_empty", Func: listEmpty, Args: []Arg{ArgPtrToListHead}},
		&Helper{Name: "bpf_list_is_first", Func: listIs(object.Front), Args: []Arg{ArgPtrToListHead, ArgPtrToListNode}},
		&Helper{Name: "bpf_list_is_last", Func: listIs(object.Back), Args: []Arg{ArgPtrToListHead, ArgPtrToListNode}},
	)...)
	registerKfuncs("6.16", only(kfuncsGeneric,
		&Helper{Name: "bpf_list_front", Func: ofField(object.Front), Flags: RetNull, Ret: RetPtrToObject,
			Args: []Arg{ArgPtrToListHead}},
		&Helper{Name: "bpf_list_back", Func: ofField(object.Back), Flags: RetNull, Ret: RetPtrToObject,
			Args: []Arg{ArgPtrToListHead}},
		&Helper{Name: "bpf_rbtree_root", Func: ofField(object.Root), Flags: RetNull, Ret: RetPtrToObject,
			Args: []Arg{ArgPtrToRBRoot}},
		&Helper{Name: "bpf_rbtree_left", Func: child(object.Left), Flags: RetNull, Ret: RetPtrToObject,
			Args: []Arg{ArgPtrToRBRoot, ArgPtrToRBNode}},
		&Helper{Name: "bpf_rbtree_right", Func: child(object.Right), Flags: RetNull, Ret: RetPtrToObject,
			Args: []Arg{ArgPtrToRBRoot, ArgPtrToRBNode}},
	)...)
	registerKfuncs("6.3", only(kfuncsGeneric,
		&Helper{Name: "bpf_rbtree_first", Func: ofField(object.First), Flags: RetNull, Ret: RetPtrToObject,
			Args: []Arg{ArgPtrToRBRoot}},
		&Helper{Name: "bpf_rbtree_remove", Func: treeRemove, Flags: Acquire | RetNull, Ret: RetPtrToObject,
			Args: []Arg{ArgPtrToRBRoot, ArgPtrToRBNode}},
	)...)
}

// newObject is bpf_obj_new and bpf_percpu_obj_new, which take the id of a type of
// the program's.
func newObject(perCPU bool) func(Types) (Func, error) {
	return func(types Types) (Func, error) {
		var layouts sync.Map // id to *object.Layout
		layout := func(id uint64, cpus int) *object.Layout {
			if l, ok := layouts.Load(id); ok {
				return l.(*object.Layout)
			}
			if types.Own == nil {
				return nil
			}
			t, err := types.Own.TypeByID(btf.TypeID(id))
			if err != nil {
				return nil
			}
			l, err := object.LayoutOf(t, cpus)
			if err != nil {
				return nil
			}
			layouts.Store(id, l)
			return l
		}
		return func(s *exec.State, r1, _, _, _, _ uint64) uint64 {
			cpus := 0
			if perCPU {
				cpus = s.Env.CPUs
			}
			l := layout(r1, cpus)
			if l == nil {
				return 0
			}
			return gives(s, object.New(l))
		}, nil
	}
}

func dropObject(_ *exec.State, r1, _, _, _, _ uint64) uint64 {
	object.Drop(uintptr(r1))
	return 0
}

func acquireObject(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	if !object.Acquire(uintptr(r1)) {
		return 0
	}
	return gives(s, uintptr(r1))
}

// kptrXchg puts a pointer where a value keeps one, and gives what was there.
func kptrXchg(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	return gives(s, object.Exchange(uintptr(r1), uintptr(r2)))
}

// push puts a node into a list. An object whose node is in a list already is
// dropped, as the program has given it away.
func push(into func(head, node uintptr) bool) Func {
	return func(_ *exec.State, r1, r2, _, _, _ uint64) uint64 {
		if !into(uintptr(r1), uintptr(r2)) {
			object.Drop(uintptr(r2))
			return errno.EINVAL.Ret()
		}
		return 0
	}
}

// listAdd puts a node into a list behind another one.
func listAdd(_ *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	if !object.AddBehind(uintptr(r1), uintptr(r2), uintptr(r3)) {
		object.Drop(uintptr(r2))
		return errno.EINVAL.Ret()
	}
	return 0
}

func listEmpty(_ *exec.State, r1, _, _, _, _ uint64) uint64 {
	return truth(object.Front(uintptr(r1)) == 0)
}

// listIs reports whether a node is the one at an end of a list.
func listIs(end func(head uintptr) uintptr) Func {
	return func(_ *exec.State, r1, r2, _, _, _ uint64) uint64 { return truth(end(uintptr(r1)) == uintptr(r2)) }
}

// ofField gives a node of a list or a tree.
func ofField(node func(field uintptr) uintptr) Func {
	return func(s *exec.State, r1, _, _, _, _ uint64) uint64 { return gives(s, node(uintptr(r1))) }
}

// child gives what a node of a list or a tree leads to.
func child(of func(root, node uintptr) uintptr) Func {
	return func(s *exec.State, r1, r2, _, _, _ uint64) uint64 { return gives(s, of(uintptr(r1), uintptr(r2))) }
}

// treeAdd puts a node into a tree, in the order of the program's function less.
func treeAdd(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	less := func(a, b uintptr) (bool, error) {
		args := [5]uint64{uint64(a), uint64(b)}
		var provs [5]exec.Prov
		if s.Checked {
			provs = [5]exec.Prov{s.ProvOf(a), s.ProvOf(b)}
		}
		ret, err := s.Engine.Callback(s, uint32(r3), &args, &provs)
		return ret != 0, err
	}
	ok, err := object.Add(uintptr(r1), uintptr(r2), less)
	if ok && err == nil {
		return 0
	}
	object.Drop(uintptr(r2))
	return errno.EINVAL.Ret()
}

func treeRemove(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	if !object.Remove(uintptr(r1), uintptr(r2)) {
		return 0
	}
	return gives(s, uintptr(r2))
}
