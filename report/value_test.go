package report

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
)

// Types as clang describes C's.
var (
	u8     = &btf.Int{Name: "unsigned char", Size: 1}
	u16    = &btf.Int{Name: "unsigned short", Size: 2}
	u32    = &btf.Int{Name: "unsigned int", Size: 4}
	u64    = &btf.Int{Name: "unsigned long long", Size: 8}
	u128   = &btf.Int{Name: "unsigned __int128", Size: 16}
	s8     = &btf.Int{Name: "signed char", Size: 1, Encoding: btf.Signed}
	s32    = &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	s64    = &btf.Int{Name: "long long", Size: 8, Encoding: btf.Signed}
	char   = &btf.Int{Name: "char", Size: 1, Encoding: btf.Signed}
	boolT  = &btf.Int{Name: "_Bool", Size: 1, Encoding: btf.Bool}
	float  = &btf.Float{Name: "float", Size: 4}
	double = &btf.Float{Name: "double", Size: 8}
	be16   = &btf.Typedef{Name: "__be16", Type: &btf.Typedef{Name: "__u16", Type: u16}}
	be32   = &btf.Typedef{Name: "__be32", Type: u32}
	state  = &btf.Enum{Name: "state", Size: 4, Signed: true, Values: []btf.EnumValue{
		{Name: "IDLE", Value: 0}, {Name: "BUSY", Value: 1}, {Name: "BROKEN", Value: math.MaxUint64},
	}}
	wideEnum = &btf.Enum{Name: "wide", Size: 8, Values: []btf.EnumValue{{Name: "HUGE", Value: 1 << 40}}}
	inAddr   = structOf("in_addr", member("s_addr", be32, 0))
	in6Addr  = structOf("in6_addr", member("u6_addr8", array(u8, 16), 0))
)

func array(t btf.Type, n uint32) *btf.Array { return &btf.Array{Index: u32, Type: t, Nelems: n} }

// member is a member at an offset in bytes.
func member(name string, t btf.Type, off uint32) btf.Member {
	return btf.Member{Name: name, Type: t, Offset: btf.Bits(off) * 8}
}

func bits(name string, t btf.Type, off, size btf.Bits) btf.Member {
	return btf.Member{Name: name, Type: t, Offset: off, BitfieldSize: size}
}

// structOf is a struct without padding at its end.
func structOf(name string, members ...btf.Member) *btf.Struct {
	s := &btf.Struct{Name: name, Members: members}
	for _, m := range members {
		size, err := btf.Sizeof(m.Type)
		if err != nil {
			panic(err)
		}
		s.Size = max(s.Size, m.Offset.Bytes()+uint32(size))
	}
	return s
}

// le is numbers as little-endian bytes, each of its own width.
func le(nums ...any) []byte {
	var b bytes.Buffer
	for _, n := range nums {
		if err := binary.Write(&b, binary.LittleEndian, n); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

func TestValue(t *testing.T) {
	padded := func(s string, size int) []byte { return append([]byte(s), make([]byte, size-len(s))...) }
	tests := []struct {
		name       string
		typ        btf.Type
		data       []byte
		text, json string
	}{
		{"unsigned", u32, le(uint32(math.MaxUint32)), "4294967295", "4294967295"},
		{"signed", s32, le(int32(-5)), "-5", "-5"},
		{"signed byte", s8, le(int8(-128)), "-128", "-128"},
		{"64 bits", u64, le(uint64(math.MaxUint64)), "18446744073709551615", "18446744073709551615"},
		{"128 bits", u128, le(uint64(1), uint64(2)), "0x20000000000000001", `"0x20000000000000001"`},
		{"a char", char, []byte{'a'}, "97", "97"},
		{"true", boolT, []byte{1}, "true", "true"},
		{"false", boolT, []byte{0}, "false", "false"},
		{"neither", boolT, []byte{7}, "7", "7"},
		{"float", float, le(float32(1.5)), "1.5", "1.5"},
		{"double", double, le(-1e300), "-1e+300", "-1e+300"},
		{"not a number", double, le(math.NaN()), "NaN", `"NaN"`},
		{"pointer", &btf.Pointer{Target: s32}, le(uint64(0xffff800000001000)), "0xffff800000001000", `"0xffff800000001000"`},
		{"enumerator", state, le(uint32(1)), "BUSY", `"BUSY"`},
		{"negative enumerator", state, le(int32(-1)), "BROKEN", `"BROKEN"`},
		{"no enumerator", state, le(int32(-7)), "-7", "-7"},
		{"64-bit enumerator", wideEnum, le(uint64(1 << 40)), "HUGE", `"HUGE"`},
		{"big-endian", be16, []byte{0x1f, 0x90}, "8080", "8080"},
		{"qualified", &btf.Const{Type: &btf.Volatile{Type: be32}}, []byte{0, 0, 1, 0}, "256", "256"},
		{"IPv4", inAddr, []byte{192, 0, 2, 1}, "192.0.2.1", `"192.0.2.1"`},
		{"IPv6", in6Addr, padded("\x20\x01\x0d\xb8", 16), "2001:db8::", `"2001:db8::"`},
		{"string", array(char, 8), padded("sshd", 8), `"sshd"`, `"sshd"`},
		{"full string", array(char, 4), []byte("sshd"), `"sshd"`, `"sshd"`},
		{"string with garbage behind it", array(char, 8), []byte("sh\x00\xff\xff\xff\xff\xff"), `"sh"`, `"sh"`},
		{"quotes", array(char, 8), padded("a\"<\n", 8), `"a\"<\n"`, `"a\"<\n"`},
		{"empty string", array(char, 4), make([]byte, 4), `""`, `""`},
		{"no string", array(char, 4), []byte{1, 2, 3, 0xff}, "[01 02 03 ff]", `"010203ff"`},
		{"bytes", array(u8, 4), []byte("text"), "[74 65 78 74]", `"74657874"`},
		{"elided bytes", array(u8, 20), padded("\x01", 20), "[01 … 19 zero]", `"01` + strings.Repeat("00", 19) + `"`},
		{"array", array(u16, 3), le([]uint16{1, 2, 3}), "[1, 2, 3]", "[1,2,3]"},
		{"elided array", array(u16, 12), append(le(uint16(7)), make([]byte, 22)...), "[7, … 11 zero]", "[7,0,0,0,0,0,0,0,0,0,0,0]"},
		{"array of arrays", array(array(u16, 2), 2), le([]uint16{1, 2, 3, 4}), "[[1, 2], [3, 4]]", "[[1,2],[3,4]]"},
		{"array of bools", array(boolT, 2), []byte{1, 0}, "[true, false]", "[true,false]"},
		{"empty array", array(u32, 0), nil, "[]", "[]"},
		{"empty struct", &btf.Struct{}, nil, "{}", "{}"},
		{
			"struct", structOf("task", member("pid", u32, 0), member("state", state, 4), member("comm", array(char, 8), 8)),
			append(le(uint32(42), uint32(1)), padded("bash", 8)...),
			`{pid = 42, state = BUSY, comm = "bash"}`, `{"pid":42,"state":"BUSY","comm":"bash"}`,
		},
		{
			"nested", structOf("outer", member("a", u16, 0), member("inner", structOf("inner", member("b", u16, 0)), 2)),
			le(uint16(1), uint16(2)), "{a = 1, inner = {b = 2}}", `{"a":1,"inner":{"b":2}}`,
		},
		{
			"anonymous members", structOf("outer", member("a", u16, 0),
				member("", &btf.Union{Size: 2, Members: []btf.Member{member("b", u16, 0), member("c", array(u8, 2), 0)}}, 2)),
			le(uint16(1), uint16(2)), "{a = 1, b = 2, c = [02 00]}", `{"a":1,"b":2,"c":"0200"}`,
		},
		{
			"bitfields", &btf.Struct{Size: 4, Members: []btf.Member{
				bits("a", u32, 0, 3), bits("b", s32, 3, 3), bits("c", u32, 6, 13), bits("d", state, 19, 2), bits("", u32, 21, 3),
			}},
			le(uint32(5 | 6<<3 | 8000<<6 | 3<<19)),
			"{a = 5, b = -2, c = 8000, d = BROKEN}", `{"a":5,"b":-2,"c":8000,"d":"BROKEN"}`,
		},
		{
			"variables", &btf.Datasec{Name: ".bss", Size: 12, Vars: []btf.VarSecinfo{
				{Type: &btf.Var{Name: "dropped", Type: u64}, Offset: 0, Size: 8},
				{Type: &btf.Var{Name: "on", Type: boolT}, Offset: 8, Size: 1},
			}},
			le(uint64(9), uint32(1)), "{dropped = 9, on = true}", `{"dropped":9,"on":true}`,
		},
		{
			"a name that clears the screen", structOf("s", member("\x1b[2J", &btf.Enum{Size: 1, Values: []btf.EnumValue{{Name: "\a"}}}, 0)), []byte{0},
			`{\x1b[2J = \a}`, `{"\u001b[2J":"\u0007"}`,
		},
		{"void", &btf.Void{}, []byte{1, 2}, "01 02", `"0102"`},
		{"no type", nil, []byte("0123456789"), "30 31 32 33 34 35 36 37  38 39", `"30313233343536373839"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := Value{tt.typ, tt.data}
			text, err := v.Text()
			if err != nil || text != tt.text {
				t.Errorf("text %s (%v), want %s", text, err, tt.text)
			}
			js, err := v.MarshalJSON()
			if err != nil || string(js) != tt.json {
				t.Errorf("JSON %s (%v), want %s", js, err, tt.json)
			}
			if !json.Valid(js) {
				t.Errorf("not JSON: %s", js)
			}
		})
	}
}

func TestValueErrors(t *testing.T) {
	deep := btf.Type(u32)
	for range 60 {
		deep = structOf("s", member("m", deep, 0))
	}
	cyclic := &btf.Struct{Name: "cyclic", Size: 4}
	cyclic.Members = []btf.Member{member("self", cyclic, 0)}
	wide := &btf.Struct{Name: "wide", Size: 4}
	for range 200 {
		wide.Members = append(wide.Members, member("m", array(structOf("e", member("x", array(u32, 0), 0)), 1<<31), 0))
	}
	loop := &btf.Typedef{Name: "loop"}
	loop.Type = loop
	tests := []struct {
		name string
		typ  btf.Type
		data []byte
		want string
	}{
		{"too short", u32, make([]byte, 3), "3 bytes are no unsigned int, which has 4"},
		{"too long", structOf("flow", member("a", u32, 0)), make([]byte, 5), "5 bytes are no struct flow, which has 4"},
		{"deep", deep, make([]byte, 4), "nested too deeply"},
		{"cyclic", cyclic, make([]byte, 4), "nested too deeply"},
		{"many elements of no size", wide, make([]byte, 4), "more members than its bytes can be"},
		{"typedef of itself", loop, nil, "depth"},
		{"member outside", &btf.Struct{Size: 4, Members: []btf.Member{member("m", u32, 2)}}, make([]byte, 4), "member m: its type reaches beyond"},
		{"bitfield outside", &btf.Struct{Size: 4, Members: []btf.Member{bits("m", u32, 30, 4)}}, make([]byte, 4), "member m: its type reaches beyond"},
		{"function", &btf.FuncProto{Return: s32}, nil, "unsized"},
		{"forward declaration", &btf.Fwd{Name: "f"}, nil, "unsized"},
		{"a member without type", structOf("s", member("v", &btf.Void{}, 0)), nil, "void has no value"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := Value{tt.typ, tt.data}
			if text, err := v.Text(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("text %s, error %v, want one with %q", text, err, tt.want)
			}
			if _, err := v.MarshalJSON(); err == nil {
				t.Error("JSON without an error")
			}
		})
	}
}

func TestDeclare(t *testing.T) {
	proto := &btf.FuncProto{Return: s32, Params: []btf.FuncParam{
		{Name: "fmt", Type: &btf.Pointer{Target: &btf.Const{Type: char}}}, {Type: &btf.Void{}},
	}}
	self := &btf.Pointer{}
	self.Target = &btf.FuncProto{Return: &btf.Void{}, Params: []btf.FuncParam{{Name: "f", Type: self}}}
	for want, typ := range map[string]btf.Type{
		"unsigned int x":                 u32,
		"struct in_addr x":               inAddr,
		"union u x":                      &btf.Union{Name: "u"},
		"enum state x":                   state,
		"__be32 x":                       be32,
		"char x[8]":                      array(char, 8),
		"int x[2][3]":                    array(array(s32, 3), 2),
		"void *x":                        &btf.Pointer{Target: &btf.Void{}},
		"const char *x":                  &btf.Pointer{Target: &btf.Const{Type: char}},
		"char *const x":                  &btf.Const{Type: &btf.Pointer{Target: char}},
		"int *x[2]":                      array(&btf.Pointer{Target: s32}, 2),
		"int (*x)[2]":                    &btf.Pointer{Target: array(s32, 2)},
		"int (*x)(const char *fmt, ...)": &btf.Pointer{Target: proto},
		"void (*x)(void)":                &btf.Pointer{Target: &btf.FuncProto{Return: &btf.Void{}}},
		"volatile int x":                 &btf.Volatile{Type: s32},
		"struct x":                       &btf.Struct{},
		"struct f *x":                    &btf.Pointer{Target: &btf.Fwd{Name: "f"}},
	} {
		if got := declare(typ, "x", 0); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	declare(self, "x", 0) // ends
}

// FuzzValue prints any bytes as types that the fuzzer puts together.
func FuzzValue(f *testing.F) {
	f.Add([]byte{8, 3, 0, 0, 4, 9, 1, 2}, []byte("some bytes"))
	f.Add([]byte{9, 2, 8, 8, 8, 10, 5, 5}, make([]byte, 64))
	f.Fuzz(func(t *testing.T, shape, data []byte) {
		b := &typeBuilder{shape: shape}
		typ := b.build(0)
		if size, err := btf.Sizeof(typ); err == nil && size <= len(data) {
			data = data[:size]
		}
		v := Value{typ, data}
		text, textErr := v.Text()
		js, jsErr := v.MarshalJSON()
		if jsErr == nil && !json.Valid(js) {
			t.Errorf("not JSON: %s", js)
		}
		if jsErr == nil && textErr != nil {
			t.Errorf("text fails, JSON does not: %v; %s", textErr, js)
		}
		if textErr != nil && text != "" {
			t.Errorf("text and an error: %q, %v", text, textErr)
		}
		appendDeclaration(nil, typ)
	})
}

// typeBuilder makes types out of bytes, whole and broken.
type typeBuilder struct {
	shape []byte
	made  []btf.Type
}

func (b *typeBuilder) byte() int {
	if len(b.shape) == 0 {
		return 0
	}
	c := b.shape[0]
	b.shape = b.shape[1:]
	return int(c)
}

func (b *typeBuilder) build(depth int) btf.Type {
	simple := []btf.Type{u8, u64, s32, u128, char, boolT, double, state, wideEnum, be16, inAddr, in6Addr, &btf.Void{}}
	n := b.byte()
	if depth > 5 || len(b.shape) == 0 {
		return simple[n%len(simple)]
	}
	switch n % 10 {
	case 0:
		return array(b.build(depth+1), uint32(b.byte()))
	case 1, 2:
		s := &btf.Struct{Name: "s", Size: uint32(b.byte())}
		b.made = append(b.made, s)
		s.Members = b.members(depth)
		return s
	case 3:
		u := &btf.Union{Size: uint32(b.byte())}
		b.made = append(b.made, u)
		u.Members = b.members(depth)
		return u
	case 4:
		return &btf.Typedef{Name: "__be32", Type: b.build(depth + 1)}
	case 5:
		return &btf.Datasec{Size: 8, Vars: []btf.VarSecinfo{{Type: &btf.Var{Name: "v", Type: b.build(depth + 1)}, Offset: uint32(b.byte())}}}
	case 6:
		if len(b.made) > 0 { // maybe a cycle
			return b.made[b.byte()%len(b.made)]
		}
	}
	return simple[b.byte()%len(simple)]
}

func (b *typeBuilder) members(depth int) []btf.Member {
	var all []btf.Member
	for range b.byte() % 5 {
		names := []string{"a", "b", "", "\xff\"\x00"}
		m := btf.Member{Name: names[b.byte()%len(names)], Offset: btf.Bits(b.byte()), Type: b.build(depth + 1)}
		if b.byte()%4 == 0 {
			m.BitfieldSize = btf.Bits(b.byte())
		}
		all = append(all, m)
	}
	return all
}
