package maps

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
)

var (
	u32Type = &btf.Int{Name: "unsigned int", Size: 4}
	u64Type = &btf.Int{Name: "unsigned long long", Size: 8}
)

// opaque is one of the structs that the machine knows.
func opaque(name string) *btf.Struct {
	known := structFields[name]
	s := &btf.Struct{Name: name, Size: known.size}
	if known.align == 8 {
		return opaqueOf(s, "__opaque", &btf.Array{Index: u32Type, Type: u64Type, Nelems: known.size / 8})
	}
	return opaqueOf(s, "val", u32Type)
}

func opaqueOf(s *btf.Struct, name string, t btf.Type) *btf.Struct {
	s.Members = []btf.Member{{Name: name, Type: t}}
	return s
}

func kptr(tag, to string) btf.Type {
	target := &btf.Struct{Name: to, Size: 8, Members: []btf.Member{{Name: "x", Type: u64Type}}}
	return &btf.Pointer{Target: &btf.TypeTag{Type: target, Value: tag}}
}

func arrayOf(n uint32, t btf.Type) btf.Type { return &btf.Array{Index: u32Type, Type: t, Nelems: n} }

// structOf lays members out one after another, as C does.
func structOf(name string, types ...btf.Type) *btf.Struct {
	s := &btf.Struct{Name: name}
	for i, t := range types {
		size, err := btf.Sizeof(t)
		if err != nil {
			panic(err)
		}
		align := uint32(min(size, 8))
		if inner, ok := t.(*btf.Struct); ok && len(inner.Members) > 0 && structFields[inner.Name].size == 0 || align&(align-1) != 0 {
			align = 8
		}
		s.Size = (s.Size + align - 1) &^ (align - 1)
		m := btf.Member{Name: string(rune('a' + i)), Type: t, Offset: btf.Bits(s.Size) * 8}
		if inner, ok := t.(*btf.Struct); ok && (inner.Name == "bpf_list_head" || inner.Name == "bpf_rb_root") {
			m.Tags = []string{"contains:node:link"}
		}
		s.Members = append(s.Members, m)
		s.Size += uint32(size)
	}
	s.Size = (s.Size + 7) &^ 7
	return s
}

func TestFieldsOf(t *testing.T) {
	lock, timer, wq := opaque("bpf_spin_lock"), opaque("bpf_timer"), opaque("bpf_wq")
	type found struct {
		Kind   FieldKind
		Offset uint32
	}
	for _, tt := range []struct {
		name string
		typ  btf.Type
		want []found
		err  errno.Errno
	}{
		{name: "number", typ: u64Type},
		{name: "nothing special", typ: structOf("v", u64Type, u32Type)},
		{name: "lock", typ: structOf("v", u32Type, lock, u64Type), want: []found{{FieldSpinLock, 4}}},
		{name: "lock and timer", typ: structOf("v", lock, timer, wq), want: []found{{FieldSpinLock, 0}, {FieldTimer, 8}, {FieldWorkqueue, 24}}},
		{name: "two timers", typ: structOf("v", timer, timer), err: errno.E2BIG},
		{name: "two kinds of locks", typ: structOf("v", lock, opaque("bpf_res_spin_lock")), err: errno.EINVAL},
		{name: "inside a struct", typ: structOf("v", u64Type, structOf("in", u64Type, timer)), want: []found{{FieldTimer, 16}}},
		{name: "typedef", typ: &btf.Typedef{Name: "v_t", Type: structOf("v", timer)}, want: []found{{FieldTimer, 0}}},
		{name: "array of timers", typ: structOf("v", arrayOf(2, timer)), err: errno.EINVAL},
		{name: "kptrs", typ: structOf("v", kptr("kptr", "foo"), kptr("kptr_untrusted", "foo"), kptr("percpu_kptr", "foo"), kptr("other", "foo")),
			want: []found{{FieldKptr, 0}, {FieldKptrUntrusted, 8}, {FieldKptrPercpu, 16}}},
		{name: "array of kptrs", typ: structOf("v", u64Type, arrayOf(2, kptr("kptr", "foo"))), want: []found{{FieldKptr, 8}, {FieldKptr, 16}}},
		{name: "array of structs with kptrs", typ: structOf("v", arrayOf(2, structOf("in", u64Type, kptr("kptr", "foo")))),
			want: []found{{FieldKptr, 8}, {FieldKptr, 24}}},
		{name: "too many", typ: structOf("v", arrayOf(12, kptr("kptr", "foo"))), err: errno.E2BIG},
		{name: "list", typ: structOf("v", lock, opaque("bpf_list_head")), want: []found{{FieldSpinLock, 0}, {FieldListHead, 8}}},
		{name: "list without a lock", typ: structOf("v", opaque("bpf_rb_root")), err: errno.EINVAL},
		{name: "nodes are an object's", typ: structOf("v", opaque("bpf_list_node"))},
		{name: "data section", typ: &btf.Datasec{Name: ".bss", Size: 32, Vars: []btf.VarSecinfo{
			{Type: &btf.Var{Name: "n", Type: u32Type}, Offset: 0, Size: 4},
			{Type: &btf.Var{Name: "lock", Type: lock}, Offset: 4, Size: 4},
			{Type: &btf.Var{Name: "head", Type: opaque("bpf_list_head"), Tags: []string{"contains:node:link"}}, Offset: 8, Size: 16},
		}}, want: []found{{FieldSpinLock, 4}, {FieldListHead, 8}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fields, err := FieldsOf(tt.typ, ValueFields)
			wantErrno(t, err, tt.err)
			var got []found
			for _, f := range fields {
				got = append(got, found{f.Kind, f.Offset})
				if f.Kind == FieldListHead && (f.Contains != "node" || f.Node != "link") {
					t.Errorf("the list holds %q by %q", f.Contains, f.Node)
				}
				if f.Kind&anyKptr != 0 && f.Target.Name != "foo" {
					t.Errorf("the pointer is to %v", f.Target)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// withValue is a spec whose value is of a type.
func withValue(typ ebpf.MapType, t btf.Type) ebpf.MapSpec {
	s := goodSpec(typ)
	size, err := btf.Sizeof(t)
	if err != nil {
		panic(err)
	}
	s.ValueSize, s.Key, s.Value = uint32(size), &btf.Int{Name: "int", Size: s.KeySize}, t
	return s
}

// What a value's fields keep is freed when the value is overwritten, deleted,
// or closed with its map, and only then.
func TestFieldsAreFreed(t *testing.T) {
	freed := 0
	old := freeField[9].Load() // FieldRefcount's, which nobody frees
	OnFree(FieldRefcount, func(_ *Info, _ *Field, addr uintptr) {
		if n := loadU32(addr); n != 0 {
			freed++
			storeU32(addr, 0)
		}
	})
	defer freeField[9].Store(old)

	for _, tt := range []struct {
		typ       ebpf.MapType
		overwrite int
		deletes   int
	}{{ebpf.Hash, 1, 1}, {ebpf.LRUHash, 1, 1}, {ebpf.PerCPUHash, 1, 1}, {ebpf.Array, 1, 0}, {ebpf.PerCPUArray, 1, 0}} {
		t.Run(tt.typ.String(), func(t *testing.T) {
			freed = 0
			spec := withValue(tt.typ, structOf("v", opaque("bpf_refcount"), u64Type))
			m, err := New(&spec, 2)
			must(t, err)
			key, value := le32(1), make([]byte, spec.ValueSize)
			for i := range value {
				value[i] = 0xff
			}
			must(t, m.Update(1, key, value, 0))
			keep := func() {
				t.Helper()
				at := m.Lookup(1, key)
				if n := loadU32(at); n != 0 {
					t.Fatalf("an update wrote %#x into a special field", n)
				}
				storeU32(at, 7)
			}
			expect := func(what string, n int) {
				t.Helper()
				if freed != n {
					t.Errorf("%s: freed %d times, want %d", what, freed, n)
				}
				freed = 0
			}
			keep()
			got := make([]byte, m.Info().UserValueSize())
			must(t, m.UserLookup(key, got, 0))
			last := got[len(got)-int(spec.ValueSize):]
			if u32(last) != 1 || last[8] != 0xff {
				t.Errorf("user space sees %x", last)
			}
			must(t, m.Update(1, key, value, 0))
			expect("overwritten", tt.overwrite)
			keep()
			_ = m.Delete(key)
			expect("deleted", tt.deletes)
			if tt.deletes == 0 {
				must(t, m.Close())
				expect("closed", 1)
				return
			}
			must(t, m.Update(1, key, value, 0))
			keep()
			must(t, m.Close())
			expect("closed", 1)
		})
	}
}

// A value's spin lock is the program's own, whoever writes around it.
func TestLockStays(t *testing.T) {
	spec := withValue(ebpf.Array, structOf("v", opaque("bpf_spin_lock"), u32Type, u64Type))
	m := newMap(t, spec)
	at := m.Lookup(0, le32(0))
	storeU32(at, 1)
	must(t, m.Update(0, le32(0), make([]byte, 16), 0))
	if n := *(*uint32)(mem.At(at)); n != 1 {
		t.Errorf("the lock is %d after an update", n)
	}
	wantErrno(t, m.Freeze(), errno.ENOTSUPP)
}
