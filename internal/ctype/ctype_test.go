package ctype_test

import (
	"testing"

	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/ctype"
)

func TestPutPrefix(t *testing.T) {
	u32 := &btf.Int{Name: "__u32", Size: 4}
	key := func(first string, size uint32) btf.Type {
		return &btf.Struct{Name: "lpm_key", Size: 4 + size, Members: []btf.Member{
			{Name: first, Type: u32},
			{Name: "data", Type: &btf.Array{Type: &btf.Int{Size: 1}, Nelems: size}, Offset: 32},
		}}
	}
	for _, tc := range []struct {
		typ  btf.Type
		size int
		text string
		want []byte // nil: it is none
	}{
		{key("prefixlen", 4), 8, "10.1.2.3/8", []byte{8, 0, 0, 0, 10, 0, 0, 0}},
		{key("prefixlen", 4), 8, "10.1.2.3", []byte{32, 0, 0, 0, 10, 1, 2, 3}},
		{key("prefix_len", 16), 20, "2001:db8::/32", append([]byte{32, 0, 0, 0, 0x20, 1, 0xd, 0xb8}, make([]byte, 12)...)},
		{key("prefixlen", 16), 20, "10.0.0.0/8", nil},
		{key("prefixlen", 4), 8, "10.0.0.0/33", nil},
		{key("count", 4), 8, "10.0.0.0/8", nil},
		{u32, 4, "10.0.0.0/8", nil},
	} {
		got := make([]byte, tc.size)
		ok := ctype.PutPrefix(got, tc.typ, tc.text)
		if ok != (tc.want != nil) {
			t.Errorf("%s: %v", tc.text, ok)
		} else if diff := cmp.Diff(tc.want, got); ok && diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.text, diff)
		}
	}
}
