package object

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/maps"
)

// item is a key, a tree node and a list node.
var item = &Layout{Name: "struct item", Size: 64}

const (
	itemTree = 8
	itemList = 40
)

func newItem(t *testing.T, key uint64) uintptr {
	t.Helper()
	a := New(item)
	if a == 0 {
		t.Fatal("no memory")
	}
	*word(a) = key
	return a
}

func roots(t *testing.T) uintptr {
	t.Helper()
	b, err := mem.New(64)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Free() })
	return b.Addr()
}

func byKey(a, b uintptr) (bool, error) {
	return *word(a - itemTree) < *word(b - itemTree), nil
}

// order gives a tree's keys from left to right, and holds its rules.
func order(t *testing.T, root uintptr) []uint64 {
	t.Helper()
	var keys []uint64
	var walk func(n, p uintptr) int
	walk = func(n, p uintptr) int {
		if n == 0 {
			return 1
		}
		if parent(n) != p {
			t.Fatalf("the parent of node %#x is %#x, not %#x", n, parent(n), p)
		}
		if isRed(n) && (isRed(p) || p == 0) {
			t.Fatal("a red node below a red one or on top")
		}
		l := walk(get(n+rbLeft), n)
		keys = append(keys, *word(n - itemTree))
		r := walk(get(n+rbRight), n)
		if l != r {
			t.Fatalf("%d black nodes on the left, %d on the right", l, r)
		}
		if isRed(n) {
			return l
		}
		return l + 1
	}
	walk(Root(root), 0)
	if first := First(root); len(keys) == 0 && first != 0 || len(keys) > 0 && *word(first - itemTree) != keys[0] {
		t.Fatal("the first node is not the leftmost")
	}
	return keys
}

func TestTree(t *testing.T) {
	root := roots(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	var nodes []uintptr
	var want []uint64
	for range 3000 {
		if len(nodes) == 0 || rnd.IntN(3) > 0 && len(nodes) < 100 {
			key := rnd.Uint64N(64)
			n := newItem(t, key) + itemTree
			if ok, err := Add(root, n, byKey); !ok || err != nil {
				t.Fatal(ok, err)
			}
			if ok, _ := Add(root, n, byKey); ok {
				t.Fatal("a node was added twice")
			}
			nodes, want = append(nodes, n), append(want, key)
		} else {
			i := rnd.IntN(len(nodes))
			n := nodes[i]
			if !Remove(root, n) || Remove(root, n) {
				t.Fatal("a node is removed once")
			}
			Drop(n)
			nodes, want = slices.Delete(nodes, i, i+1), slices.Delete(want, i, i+1)
		}
		sorted := slices.Sorted(slices.Values(want))
		if diff := cmp.Diff(sorted, order(t, root)); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestList(t *testing.T) {
	head := roots(t)
	rnd := rand.New(rand.NewPCG(3, 4))
	var want []uintptr
	for range 2000 {
		n := uintptr(0)
		if rnd.IntN(2) == 0 {
			n = newItem(t, 0) + itemList
		}
		front := rnd.IntN(2) == 0
		switch {
		case n != 0 && front:
			PushFront(head, n)
			want = slices.Insert(want, 0, n)
		case n != 0:
			PushBack(head, n)
			want = append(want, n)
		case len(want) == 0:
			if PopFront(head) != 0 || PopBack(head) != 0 {
				t.Fatal("popped from an empty list")
			}
			continue
		case front:
			if PopFront(head) != want[0] {
				t.Fatal("not the first")
			}
			want = want[1:]
		default:
			if PopBack(head) != want[len(want)-1] {
				t.Fatal("not the last")
			}
			want = want[:len(want)-1]
		}
		if n != 0 && PushBack(head, n) {
			t.Fatal("a node was pushed twice")
		}
		var got []uintptr
		for at := Front(head); at != 0; at = get(at + nodeNext) {
			got = append(got, at)
		}
		if !slices.Equal(want, got) {
			t.Fatalf("the list is %x, not %x", got, want)
		}
	}
}

func TestReferences(t *testing.T) {
	before := Live()
	fields := maps.Fields{
		{Kind: maps.FieldKptr, Offset: 8, Size: 8},
		{Kind: maps.FieldListHead, Offset: 16, Size: 16},
		{Kind: maps.FieldRBRoot, Offset: 32, Size: 16},
	}
	outer := New(&Layout{Name: "struct outer", Size: 48, Fields: fields})
	Exchange(outer+8, newItem(t, 1))
	PushBack(outer+16, newItem(t, 2)+itemList)
	PushBack(outer+16, newItem(t, 3)+itemList)
	for i := range uint64(5) {
		if _, err := Add(outer+32, newItem(t, i)+itemTree, byKey); err != nil {
			t.Fatal(err)
		}
	}
	if got := Live() - before; got != 9 {
		t.Errorf("%d objects live, not 9", got)
	}
	if !Acquire(outer+20) || !Drop(outer) {
		t.Error("the object is gone")
	}
	if got := Live() - before; got != 9 {
		t.Errorf("with a reference left %d objects live, not 9", got)
	}
	if !Drop(outer) || Drop(outer) {
		t.Error("the last reference goes once")
	}
	if got := Live() - before; got != 0 {
		t.Errorf("%d objects are left", got)
	}
	if New(&Layout{Size: maxSize + 1}) != 0 {
		t.Error("there was memory for too large an object")
	}
}

// TestManyAtOnce: what goroutines allocate, share and drop is never one another's.
func TestManyAtOnce(t *testing.T) {
	before := Live()
	var wg sync.WaitGroup
	shared := newItem(t, 42)
	for g := range uint64(4) {
		wg.Go(func() {
			for i := range uint64(5000) {
				a := New(item)
				*word(a) = g<<32 | i
				if !Acquire(shared) || *word(shared) != 42 {
					t.Error("the shared object is gone")
				}
				Drop(shared)
				if *word(a) != g<<32|i {
					t.Error("somebody else wrote to an object")
				}
				if o, ok := Find(a + 60); !ok || o.Base != a {
					t.Error("an object is not found")
				}
				Drop(a)
			}
		})
	}
	wg.Wait()
	Drop(shared)
	if n := Live() - before; n != 0 {
		t.Errorf("%d objects are left", n)
	}
}
