package program

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/ctype"
	"github.com/skep-ebpf/skep/internal/suggest"
)

func TestParams(t *testing.T) {
	var got []string
	for _, param := range open(t, "params.o").Params() {
		got = append(got, param.Name+" "+ctype.Name(param.Type))
	}
	want := []string{
		"addr __u32", "addr6 struct in6_addr", "byte __u8", "flag bool", "ifname char[16]", "mac __u8[6]", "mode enum mode",
		"nested struct", "number __s32", "port __be16", "ports __u16[4]", "range struct range", "wide __u64",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("parameters (-want +got):\n%s", diff)
	}
}

func TestSet(t *testing.T) {
	tests := []struct {
		name, value string
		want        []byte
	}{
		{"byte", "255", []byte{255}},
		{"byte", "0x10", []byte{16}},
		{"number", "-5", []byte{0xfb, 0xff, 0xff, 0xff}},
		{"wide", "0xffffffffffffffff", []byte{255, 255, 255, 255, 255, 255, 255, 255}},
		{"flag", "false", []byte{0}},
		{"flag", "y", []byte{1}},
		{"mode", "MODE_DEEP", []byte{255, 255, 255, 255}},
		{"mode", "7", []byte{7, 0, 0, 0}},
		{"port", "443", []byte{1, 0xbb}},
		{"addr", "10.1.2.3", []byte{10, 1, 2, 3}},
		{"addr", "1", []byte{1, 0, 0, 0}},
		{"addr6", "2001:db8::1", []byte{0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}},
		{"mac", "02:00:00:00:00:0a", []byte{2, 0, 0, 0, 0, 10}},
		{"mac", "1, 2", []byte{1, 2, 0, 0, 0, 0}},
		{"ifname", "lo", append([]byte("lo"), make([]byte, 14)...)},
		{"ports", "80,443,0x1f90", []byte{80, 0, 0xbb, 1, 0x90, 0x1f, 0, 0}},
		{"ports[1]", "7", []byte{80, 0, 7, 0, 0, 0, 0, 0}},
		{"range.to", "9", []byte{1, 0, 9, 0}},
		{"range", "{from = 2, to = 3}", []byte{2, 0, 3, 0}},
		{"range", "{to=3}", []byte{0, 0, 3, 0}},
		{"ports", "[1, 2]", []byte{1, 0, 2, 0, 0, 0, 0, 0}},
		{"nested.r[1].from", "3", []byte{0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0}},
		{"addr6.u6_addr8[15]", "1", append(make([]byte, 15), 1)},
		{"plain", "8", []byte{8, 0, 0, 0}},
	}
	for _, test := range tests {
		p := open(t, "params.o")
		if err := p.Set(test.name, test.value); err != nil {
			t.Error(err)
			continue
		}
		base, _ := splitPath(test.name)
		if diff := cmp.Diff(test.want, p.Spec.Variables[base].Value); diff != "" {
			t.Errorf("%s=%s (-want +got):\n%s", test.name, test.value, diff)
		}
	}
}

func TestSetErrors(t *testing.T) {
	tests := []struct{ name, value, want string }{
		{"byte", "256", `set byte: "256" is not a number from 0 to 255 (its type is __u8)`},
		{"number", "0x80000000", "not a number from -2147483648 to 2147483647"},
		{"wide", "-1", "not a number from 0 to 18446744073709551615"},
		{"wide", "", `"" is not a number`},
		{"flag", "2", `"2" is neither y nor n`},
		{"mode", "MODE_OF", "did you mean MODE_OFF?"},
		{"ifname", "a-name-of-16-chr", "16 characters, and there is room for 15"},
		{"ports", "1,2,3,4,5", "5 values are too many for 4 elements"},
		{"ports", "1,x", `element 1: "x" is not a number`},
		{"ports[4]", "1", "index 4 is outside of __u16[4]"},
		{"ports.x", "1", "is an array: write [index]"},
		{"ports[x]", "1", "is an array: write [index]"},
		{"range", "1", "set one at a time, as in name.from=1, or all, as in name={from = 1}"},
		{"range", "{form = 1}", "form: struct range has no field form; did you mean from?"},
		{"range", "{1, 2}", `"1": want field = value`},
		{"range", "{from = x}", `from: "x" is not a number from`},
		{"range.form", "1", "struct range has no field form; did you mean from?"},
		{"range[0]", "1", "struct range has fields"},
		{"byte.x", "1", "neither fields nor elements"},
		{"addr", "10.1.2.3.4", "not a number from 0 to 4294967295"},
		{"addr", "::1", "not a number"},
		{"fixed", "x", "declare it const volatile"},
		{"bite", "1", "there is no such parameter; did you mean byte?"},
		{"", "1", "there is no such parameter"},
	}
	p := open(t, "params.o")
	before := p.Params()
	for _, test := range tests {
		checkError(t, p.Set(test.name, test.value), test.want)
	}
	after := p.Params()
	for i := range before {
		if diff := cmp.Diff(before[i].Value, after[i].Value); diff != "" {
			t.Errorf("%s changed (-before +after):\n%s", before[i].Name, diff)
		}
	}
}

func TestSuggest(t *testing.T) {
	tests := []struct {
		name  string
		known []string
		want  string
	}{
		{"x", nil, "; there are none"},
		{"xdp_fire", []string{"tc", "xdp_firewall"}, "; there is tc, xdp_firewall"},
		{"Limits", []string{"limit", "zone"}, "; did you mean limit?"},
	}
	for _, test := range tests {
		if got := suggest.Name(test.name, test.known); got != test.want {
			t.Errorf("%s among %v: %q", test.name, test.known, got)
		}
	}
}
