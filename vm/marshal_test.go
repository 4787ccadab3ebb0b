package vm

import (
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
)

type flatStruct struct {
	A uint32
	B uint16
	C [2]byte
}

type paddedStruct struct {
	A uint8
	B uint32
}

type blankStruct struct {
	A uint8
	_ [3]byte
	B uint32
}

func TestMarshal(t *testing.T) {
	number := uint64(0x0102030405060708)
	tests := []struct {
		name string
		in   any
		size int
		want []byte // nil: an error
	}{
		{"uint32", uint32(1), 4, []byte{1, 0, 0, 0}},
		{"uint64 pointer", &number, 8, []byte{8, 7, 6, 5, 4, 3, 2, 1}},
		{"int16", int16(-2), 2, []byte{0xfe, 0xff}},
		{"bytes", []byte{1, 2}, 2, []byte{1, 2}},
		{"string", "ab", 2, []byte("ab")},
		{"slice", []uint16{1, 2}, 4, []byte{1, 0, 2, 0}},
		{"flat struct", flatStruct{1, 2, [2]byte{3, 4}}, 8, []byte{1, 0, 0, 0, 2, 0, 3, 4}},
		{"flat struct pointer", &flatStruct{1, 2, [2]byte{3, 4}}, 8, []byte{1, 0, 0, 0, 2, 0, 3, 4}},
		{"padding has no bytes", paddedStruct{1, 2}, 5, []byte{1, 2, 0, 0, 0}},
		{"padded struct of its memory's size", paddedStruct{1, 2}, 8, nil},
		{"blank field", blankStruct{A: 1, B: 2}, 8, []byte{1, 0, 0, 0, 2, 0, 0, 0}},
		{"too short", uint32(1), 8, nil},
		{"nil", nil, 4, nil},
		{"no fixed size", 7, 8, nil},
		{"unsafe pointer", unsafe.Pointer(&number), 2, []byte{8, 7}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := marshal(tt.in, tt.size)
			if (err != nil) != (tt.want == nil) {
				t.Fatalf("error %v", err)
			}
			if diff := cmp.Diff(tt.want, got); err == nil && diff != "" {
				t.Fatal(diff)
			}
		})
	}
}

func TestUnmarshal(t *testing.T) {
	buf := []byte{1, 0, 0, 0, 2, 0, 3, 4}
	var (
		number uint64
		flat   flatStruct
		blank  blankStruct
		bytes  []byte
		text   string
		pair   = make([]uint32, 2)
	)
	for _, out := range []any{&number, &flat, &blank, &bytes, &text, pair} {
		if err := unmarshal(out, buf); err != nil {
			t.Fatalf("%T: %v", out, err)
		}
	}
	want := []any{uint64(0x0403000200000001), flatStruct{1, 2, [2]byte{3, 4}}, buf, string(buf), []uint32{1, 0x04030002}}
	if diff := cmp.Diff(want, []any{number, flat, bytes, text, pair}); diff != "" {
		t.Fatal(diff)
	}
	if blank.A != 1 || blank.B != 0x04030002 {
		t.Fatalf("blank struct is %+v", blank)
	}
	buf[0] = 9
	if bytes[0] != 1 {
		t.Fatal("the decoded bytes alias the source")
	}
	var short uint32
	if err := unmarshal(&short, buf); err == nil {
		t.Fatal("8 bytes went into a uint32")
	}
}

func TestPerCPU(t *testing.T) {
	buf, err := marshalPerCPU([]uint32{1, 2}, 4, 3)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 24)
	want[0], want[8] = 1, 2
	if diff := cmp.Diff(want, buf); diff != "" {
		t.Fatal(diff)
	}
	var grown []uint32
	exact := make([]uint32, 3)
	for _, out := range []any{&grown, exact} {
		if err := unmarshalPerCPU(out, buf, 4, 3); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([][]uint32{{1, 2, 0}, {1, 2, 0}}, [][]uint32{grown, exact}); diff != "" {
		t.Fatal(diff)
	}
	for _, bad := range []any{make([]uint32, 2), new(uint32), uint32(0)} {
		if err := unmarshalPerCPU(bad, buf, 4, 3); err == nil {
			t.Fatalf("%T took the values of 3 CPUs", bad)
		}
	}
	if _, err := marshalPerCPU(make([]uint32, 4), 4, 3); err == nil {
		t.Fatal("4 values for 3 CPUs were taken")
	}
}
