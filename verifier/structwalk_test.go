package verifier

import (
	"testing"

	"github.com/cilium/ebpf/btf"
)

// structs for the tests below: an object that begins with a list's node, and a struct
// of the kernel's with what structs have.
var (
	testInt    = &btf.Int{Name: "int", Size: 4}
	testInner  = &btf.Struct{Name: "inner", Size: 8, Members: []btf.Member{{Name: "a", Type: testInt}, {Name: "b", Type: testInt, Offset: 32}}}
	testTarget = &btf.Struct{Name: "target", Size: 4, Members: []btf.Member{{Name: "x", Type: testInt}}}
	testOuter  = &btf.Struct{Name: "outer", Size: 48, Members: []btf.Member{
		{Name: "first", Type: testInner},
		{Name: "rcu", Type: &btf.Pointer{Target: &btf.TypeTag{Value: "rcu", Type: testTarget}}, Offset: 64},
		{Name: "data", Type: &btf.Pointer{Target: &btf.Void{}}, Offset: 128},
		{Name: "bits", Type: testInt, Offset: 192, BitfieldSize: 3},
		{Name: "list", Type: &btf.Array{Type: testInner, Nelems: 2, Index: testInt}, Offset: 256},
		{Name: "tail", Type: &btf.Array{Type: testInner, Index: testInt}, Offset: 384},
	}}
)

func TestWalkStruct(t *testing.T) {
	c := new(checker)
	outer := c.typeOf(testOuter, true)
	for _, test := range []struct {
		name      string
		off, size int
		flexible  bool
		want      walkKind
		typ       string
		flags     RegFlags
		refusal   string
	}{
		{name: "nested struct", off: 0, size: 4, want: walkStruct, typ: "inner"},
		{name: "member of a nested struct", off: 4, size: 4, want: walkScalar},
		{name: "tagged pointer", off: 8, size: 8, want: walkPointer, typ: "target", flags: RCU},
		{name: "half a pointer", off: 8, size: 4, refusal: "cannot access ptr member rcu with moff 8 in struct outer with off 8 size 4"},
		{name: "pointer to nothing known", off: 16, size: 8, want: walkUntrusted},
		{name: "bit field", off: 24, size: 4, want: walkScalar},
		{name: "hole", off: 28, size: 4, refusal: "struct outer doesn't have field at offset 28"},
		{name: "second element", off: 40, size: 4, want: walkStruct, typ: "inner"},
		{name: "in the second element", off: 44, size: 4, want: walkScalar},
		{name: "beyond", off: 48, size: 4, refusal: "access beyond struct outer at off 48 size 4"},
		{name: "in the open array", off: 60, size: 4, flexible: true, want: walkScalar},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := c.walkStruct(outer, test.off, test.size, 0, test.flexible)
			if got.kind != test.want || got.refusal != test.refusal || got.flags != test.flags {
				t.Errorf("got %+v", got)
			}
			if test.typ != "" && got.typ.Name != test.typ {
				t.Errorf("got struct %s", got.typ.Name)
			}
		})
	}
}

func TestStructMatches(t *testing.T) {
	c := new(checker)
	outer, inner := c.typeOf(testOuter, true), c.typeOf(testInner, true)
	for _, test := range []struct {
		have   *Type
		off    int
		need   *Type
		strict bool
		want   bool
	}{
		{outer, 0, outer, true, true},
		{outer, 0, inner, false, true},
		{outer, 0, inner, true, false},
		{outer, 32, inner, false, true},
		{outer, 8, inner, false, false},
		{inner, 0, outer, false, false},
	} {
		if got := c.structMatches(test.have, test.off, test.need, test.strict, true); got != test.want {
			t.Errorf("%s at %d for %s, strict %v: %v", test.have.Name, test.off, test.need.Name, test.strict, got)
		}
	}
}

// TestTypeOf checks that copies of the program's own structs are one type, and that
// only a struct with a special field of its own has any.
func TestTypeOf(t *testing.T) {
	c := new(checker)
	node := &btf.Struct{Name: "bpf_list_node", Size: 24}
	object := func() *btf.Struct {
		return &btf.Struct{Name: "object", Size: 32, Members: []btf.Member{{Name: "node", Type: node}, {Name: "n", Type: testInt, Offset: 192}}}
	}
	first := c.typeOf(object(), false)
	if second := c.typeOf(&btf.Const{Type: object()}, false); first != second {
		t.Error("a copy of a struct is another type")
	}
	if len(first.Fields) != 1 {
		t.Errorf("special fields %v", first.Fields)
	}
	around := &btf.Struct{Name: "around", Size: 40, Members: []btf.Member{{Name: "o", Type: object()}}}
	if fields := c.typeOf(around, false).Fields; len(fields) != 0 {
		t.Errorf("special fields of a struct around: %v", fields)
	}
	if c.typeOf(object(), true) == first {
		t.Error("the kernel's struct of the same name is the program's")
	}
}

func TestNoCastAlias(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"nf_conn", "nf_conn___init", true}, {"nf_conn___init", "nf_conn", true},
		{"nf_conn___init", "nf_conn___init", false}, {"nf_conn", "nf_con___init", false},
	} {
		if got := isNoCastAlias(test.a, test.b); got != test.want {
			t.Errorf("%s and %s: %v", test.a, test.b, got)
		}
	}
}
