package vmlinux

import (
	"bytes"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"
	"github.com/skep-ebpf/skep/internal/testenv"
)

var (
	i32  = &btf.Int{Name: "int", Size: 4, Encoding: btf.Signed}
	u8   = &btf.Int{Name: "unsigned char", Size: 1}
	u32  = &btf.Int{Name: "unsigned int", Size: 4}
	u64  = &btf.Int{Name: "long unsigned int", Size: 8}
	char = &btf.Int{Name: "char", Size: 1, Encoding: btf.Char}
)

func pointer(t btf.Type) *btf.Pointer       { return &btf.Pointer{Target: t} }
func array(t btf.Type, n uint32) *btf.Array { return &btf.Array{Index: u32, Type: t, Nelems: n} }
func field(name string, t btf.Type, bytes btf.Bits) btf.Member {
	return btf.Member{Name: name, Type: t, Offset: bytes * 8}
}
func bits(name string, t btf.Type, offset, size btf.Bits) btf.Member {
	return btf.Member{Name: name, Type: t, Offset: offset, BitfieldSize: size}
}

// TestWrite holds declarations, without what surrounds them, against C as one would
// write it.
func TestWrite(t *testing.T) {
	list := &btf.Struct{Name: "list", Size: 16}
	list.Members = []btf.Member{field("next", pointer(list), 0), field("prev", pointer(list), 8)}

	husband, wife := &btf.Struct{Name: "husband", Size: 8}, &btf.Struct{Name: "wife", Size: 8}
	husband.Members = []btf.Member{field("wife", pointer(wife), 0)}
	wife.Members = []btf.Member{field("husband", pointer(husband), 0)}

	node := &btf.Struct{Name: "node", Size: 8}
	nodeType := &btf.Typedef{Name: "node_t", Type: node}
	node.Members = []btf.Member{field("next", pointer(nodeType), 0)}

	inner := &btf.Struct{Name: "inner", Size: 8, Members: []btf.Member{field("a", u64, 0)}}
	handler := &btf.FuncProto{Return: i32, Params: []btf.FuncParam{
		{Type: pointer(&btf.Const{Type: char})}, {Type: pointer(&btf.Struct{Name: "later", Size: 0})}, {Type: &btf.Void{}}}}

	for _, tt := range []struct {
		name  string
		types []btf.Type
		want  string
	}{
		{"a list", []btf.Type{list}, `
struct list {
	struct list *next;
	struct list *prev;
};
`},
		{"pointers in a circle", []btf.Type{husband, wife}, `
struct wife;

struct husband {
	struct wife *wife;
};

struct wife {
	struct husband *husband;
};
`},
		{"a circle through a typedef", []btf.Type{nodeType}, `
struct node;

typedef struct node node_t;

struct node {
	node_t *next;
};
`},
		{"what is needed whole comes first", []btf.Type{
			&btf.Struct{Name: "outer", Size: 24, Members: []btf.Member{field("many", array(inner, 3), 0)}},
		}, `
struct inner {
	long unsigned int a;
};

struct outer {
	struct inner many[3];
};
`},
		{"only declared", []btf.Type{&btf.Typedef{Name: "file_t", Type: &btf.Fwd{Name: "file"}}}, `
struct file;

typedef struct file file_t;
`},
		{"declarators", []btf.Type{
			&btf.Typedef{Name: "handler_t", Type: pointer(handler)},
			&btf.Typedef{Name: "row_t", Type: pointer(array(i32, 4))},
			&btf.Typedef{Name: "table_t", Type: array(array(pointer(handler), 2), 3)},
			&btf.Typedef{Name: "fixed_t", Type: &btf.Const{Type: pointer(&btf.Volatile{Type: i32})}},
			&btf.Typedef{Name: "user_t", Type: pointer(&btf.TypeTag{Value: "user", Type: &btf.Const{Type: char}})},
			&btf.Typedef{Name: "chooser_t", Type: pointer(&btf.FuncProto{Return: pointer(handler)})},
		}, `
struct later;

typedef int (*handler_t)(const char *, struct later *, ...);

typedef int (*row_t)[4];

typedef int (*table_t[3][2])(const char *, struct later *, ...);

typedef volatile int *const fixed_t;

typedef const char __btf_type_tag("user") *user_t;

typedef int (*(*chooser_t)(void))(const char *, struct later *, ...);

struct later {
};
`},
		{"without names", []btf.Type{&btf.Struct{Name: "s", Size: 16, Members: []btf.Member{
			field("", &btf.Union{Size: 8, Members: []btf.Member{
				field("whole", u64, 0),
				field("", &btf.Struct{Size: 8, Members: []btf.Member{field("low", u32, 0), field("high", u32, 4)}}, 0),
			}}, 0),
			field("", inner, 8),
		}}}, `
struct inner {
	long unsigned int a;
};

struct s {
	union {
		long unsigned int whole;
		struct {
			unsigned int low;
			unsigned int high;
		};
	};
	struct {
		long unsigned int a;
	};
};
`},
		{"holes", []btf.Type{
			&btf.Struct{Name: "holes", Size: 64, Members: []btf.Member{field("a", u8, 0), field("b", u32, 16)}},
		}, `
struct holes {
	unsigned char a;
	long : 56;
	long : 64;
	unsigned int b;
	long : 32;
	long : 64;
	long : 64;
	long : 64;
	long : 64;
	long : 64;
};
`},
		{"packed", []btf.Type{
			&btf.Struct{Name: "packed", Size: 9, Members: []btf.Member{field("a", u8, 0), field("b", u32, 1), field("c", u32, 5)}},
			&btf.Union{Name: "short_union", Size: 5, Members: []btf.Member{field("a", u32, 0), field("b", array(u8, 5), 0)}},
		}, `
struct packed {
	unsigned char a;
	unsigned int b;
	unsigned int c;
} __attribute__((packed));

union short_union {
	unsigned int a;
	unsigned char b[5];
} __attribute__((packed));
`},
		{"a large union", []btf.Type{&btf.Union{Name: "u", Size: 16, Members: []btf.Member{field("a", u32, 0)}}}, `
union u {
	unsigned int a;
	struct { long : 64; long : 64; };
};
`},
		{"bit-fields", []btf.Type{
			&btf.Struct{Name: "b", Size: 12, Members: []btf.Member{
				bits("a", u32, 0, 3), bits("b", u32, 5, 27), bits("c", u32, 32, 7), field("d", u8, 5), bits("e", u32, 64, 1),
			}},
		}, `
struct b {
	unsigned int a : 3;
	long : 2;
	unsigned int b : 27;
	unsigned int c : 7;
	unsigned char d;
	long : 16;
	unsigned int e : 1;
};
`},
		{"flexible arrays", []btf.Type{&btf.Struct{Name: "f", Size: 4, Members: []btf.Member{field("n", u32, 0), field("data", array(u8, 0), 4)}}}, `
struct f {
	unsigned int n;
	unsigned char data[0];
};
`},
		{"enums", []btf.Type{
			&btf.Enum{Name: "plain", Size: 4, Values: []btf.EnumValue{{Name: "A", Value: 0}, {Name: "B", Value: 0xffffffff}}},
			&btf.Enum{Name: "minus", Size: 4, Signed: true, Values: []btf.EnumValue{{Name: "M", Value: 0xffffffffffffffff}}},
			&btf.Enum{Name: "wide", Size: 8, Values: []btf.EnumValue{{Name: "W", Value: 1 << 63}}},
			&btf.Enum{Name: "low", Size: 8, Signed: true, Values: []btf.EnumValue{{Name: "L", Value: 1 << 63}}},
			&btf.Enum{Name: "byte", Size: 1, Values: []btf.EnumValue{{Name: "Y", Value: 1}}},
			&btf.Enum{Name: "unknown", Size: 4},
			&btf.Struct{Name: "s", Size: 4, Members: []btf.Member{field("e", &btf.Enum{Size: 4, Values: []btf.EnumValue{{Name: "FIRST", Value: 0}}}, 0)}},
		}, `
enum plain {
	A = 0,
	B = 4294967295,
};

enum minus {
	M = -1,
};

enum wide {
	W = 9223372036854775808ULL,
} __attribute__((mode(DI)));

enum low {
	L = -9223372036854775807LL - 1,
} __attribute__((mode(DI)));

enum byte {
	Y = 1,
} __attribute__((mode(QI)));

enum unknown;

enum FIRST {
	FIRST = 0,
};

struct s {
	enum FIRST e;
};
`},
		{"names that clash", []btf.Type{
			&btf.Struct{Name: "same", Size: 4, Members: []btf.Member{field("a", i32, 0)}},
			&btf.Struct{Name: "same", Size: 8, Members: []btf.Member{field("a", u64, 0)}},
			&btf.Union{Name: "same", Size: 4, Members: []btf.Member{field("default", i32, 0), field("new", i32, 0)}},
			&btf.Typedef{Name: "same", Type: u32},
			&btf.Enum{Name: "one", Size: 4, Values: []btf.EnumValue{{Name: "X", Value: 0}}},
			&btf.Enum{Name: "two", Size: 4, Values: []btf.EnumValue{{Name: "X", Value: 7}}},
			&btf.Typedef{Name: "__builtin_va_list", Type: array(i32, 1)},
			&btf.Typedef{Name: "Option<u8>", Type: u8},
		}, `
enum one {
	X = 0,
};

enum two {
	X___2 = 7,
};

struct same {
	int a;
};

struct same___2 {
	long unsigned int a;
};

union same___3 {
	int default_;
	int new;
};

typedef unsigned int same;

typedef int __builtin_va_list___2[1];

typedef unsigned char Option_u8_;
`},
		{"integers of others", []btf.Type{
			&btf.Typedef{Name: "ulong32", Type: &btf.Int{Name: "long unsigned int", Size: 4}},
			&btf.Typedef{Name: "i64", Type: &btf.Int{Name: "i64", Size: 8, Encoding: btf.Signed}},
			&btf.Typedef{Name: "boolean", Type: &btf.Int{Name: "bool", Size: 1, Encoding: btf.Bool}},
			&btf.Typedef{Name: "big", Type: &btf.Int{Name: "u128", Size: 16}},
			&btf.Typedef{Name: "real", Type: &btf.Float{Name: "double", Size: 8}},
		}, `
typedef unsigned int ulong32;

typedef signed long long i64;

typedef _Bool boolean;

typedef unsigned __int128 big;

typedef double real;
`},
		{"kernel functions", []btf.Type{
			&btf.Func{Name: "bpf_task_release", Tags: []string{"bpf_kfunc"}, Type: &btf.FuncProto{
				Return: &btf.Void{}, Params: []btf.FuncParam{{Name: "p", Type: pointer(&btf.Fwd{Name: "task_struct"})}}}},
			&btf.Func{Name: "schedule", Type: &btf.FuncProto{Return: &btf.Void{}}},
		}, `
struct task_struct;

#ifndef BPF_NO_KFUNC_PROTOTYPES
#ifndef __ksym
#define __ksym __attribute__((section(".ksyms")))
#endif
#ifndef __weak
#define __weak __attribute__((weak))
#endif

extern void bpf_task_release(struct task_struct *p) __weak __ksym;
#endif
`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec := testenv.Types(t, tt.types...)
			var out strings.Builder
			if err := Write(&out, spec); err != nil {
				t.Fatal(err)
			}
			got, whole := strings.CutPrefix(out.String(), header)
			got, ended := strings.CutSuffix(got, footer)
			if !whole || !ended {
				t.Fatalf("header or footer is missing:\n%s", out.String())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			roundTrip(t, spec)
		})
	}
}

func TestWriteRefuses(t *testing.T) {
	inside := &btf.Struct{Name: "inside", Size: 4}
	inside.Members = []btf.Member{field("self", inside, 0)}
	anonymous := &btf.Struct{Size: 8}
	itself := &btf.Typedef{Name: "itself", Type: anonymous}
	anonymous.Members = []btf.Member{field("next", pointer(itself), 0)}

	var doubled btf.Type = u8
	for range 40 { // each holds two of the one before
		size, err := btf.Sizeof(doubled)
		if err != nil {
			t.Fatal(err)
		}
		doubled = &btf.Union{Size: uint32(size), Members: []btf.Member{field("a", doubled, 0), field("b", doubled, 0)}}
	}

	for _, tt := range []struct {
		name  string
		types []btf.Type
		want  string
	}{
		{"types without names in one another", []btf.Type{&btf.Typedef{Name: "doubled", Type: doubled}}, "more than 2000000 times"},
		{"an endless hole", []btf.Type{&btf.Struct{Name: "hole", Size: 1 << 28}}, "more than 2000000 times"},
		{"a structure in itself", []btf.Type{inside}, "contains itself"},
		{"a typedef in itself", []btf.Type{itself}, "typedef itself refers to itself"},
		{"members that overlap", []btf.Type{
			&btf.Struct{Name: "s", Size: 8, Members: []btf.Member{field("a", u64, 0), field("b", u32, 4)}},
		}, "b overlaps another member"},
		{"a member without size", []btf.Type{
			&btf.Struct{Name: "s", Size: 8, Members: []btf.Member{field("v", &btf.Void{}, 0)}},
		}, "member v"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			err := Write(&out, testenv.Types(t, tt.types...))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want %q in it", err, tt.want)
			}
			if out.Len() > 0 {
				t.Error("something was written")
			}
		})
	}
}

// FuzzWrite looks for types that it does not end with.
func FuzzWrite(f *testing.F) {
	for _, types := range [][]btf.Type{
		{&btf.Struct{Name: "s", Size: 8, Members: []btf.Member{bits("a", u32, 3, 4), field("b", pointer(array(u8, 3)), 8)}}},
		{&btf.Typedef{Name: "t", Type: &btf.FuncProto{Return: i32, Params: []btf.FuncParam{{Type: pointer(char)}}}}},
	} {
		b, err := btf.NewBuilder(types, nil)
		if err != nil {
			f.Fatal(err)
		}
		raw, err := b.Marshal(nil, nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		spec, err := btf.LoadSpecFromReader(bytes.NewReader(raw))
		if err != nil {
			t.Skip(err)
		}
		var out bytes.Buffer
		if err := Write(&out, spec); (err == nil) == (out.Len() == 0) {
			t.Errorf("%d bytes, and error %v", out.Len(), err)
		}
	})
}
