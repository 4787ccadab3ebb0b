package kernel

import (
	"encoding/hex"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/hook/usdt"
)

// seen is what the program in usdt.bpf.o keeps of a run.
type seen struct {
	Arguments int32
	Sizes     [4]int32
	_         [4]byte
	Values    [4]int64
	Errors    [4]int32
}

// runsOf takes out what the program has seen since.
func runsOf(t *testing.T, c *Collection) (all []seen) {
	t.Helper()
	for {
		var s seen
		err := c.Maps["runs"].LookupAndDelete(nil, &s)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
}

// kept is what is seen of arguments of these sizes and values; others are not there.
func kept(sizes []int32, values ...int64) seen {
	const noArgument = -2 // -ENOENT
	s := seen{Arguments: int32(len(values))}
	for i := range s.Values {
		s.Sizes[i], s.Errors[i] = noArgument, noArgument
	}
	for i, v := range values {
		s.Sizes[i], s.Values[i], s.Errors[i] = sizes[i], v, 0
	}
	return s
}

// TestUSDT has programs see the arguments of static probes, in registers, in memory and
// in the probe itself.
func TestUSDT(t *testing.T) {
	path := probedFile(t)
	for _, tc := range []struct {
		probe, letter string
		want          []seen
	}{
		{"skep:plain", "p", []seen{kept([]int32{4, 8, 1}, -5, 0x1122334455667788, -7)}},
		{"skep:memory", "p", []seen{kept([]int32{2, 4, 4}, -3, 10, 11)}},
		{"skep:indexed", "p", []seen{kept([]int32{4, 4, 1}, 12, 11, 0)}},
		{"skep:variable", "p", []seen{kept([]int32{4, 4}, 21, -22), kept([]int32{4, 4}, 21, -22)}},
		{"skep:none", "p", []seen{kept(nil)}},
		{"skep:several", "s", []seen{kept([]int32{4}, 1), kept([]int32{4}, 2)}},
		{"skep:guarded", "g", []seen{kept([]int32{1}, 'g')}},
		{"*:pl*", "p", []seen{kept([]int32{4, 8, 1}, -5, 0x1122334455667788, -7)}},
	} {
		t.Run("usdt/probed:"+tc.probe, func(t *testing.T) {
			c, link := attachAt(t, openObject(t, "testdata/usdt.bpf.o"), "keep", "usdt/"+path+":"+tc.probe)
			p := startProbed(t, path)
			p.do(tc.letter)
			if diff := cmp.Diff(tc.want, runsOf(t, c)); diff != "" {
				t.Errorf("the program saw (-want +got):\n%s", diff)
			}
			if err := link.Close(); err != nil {
				t.Fatal(err)
			}
			p.do(tc.letter)
			if got := runsOf(t, c); got != nil {
				t.Errorf("detached, the program saw %v", got)
			}
		})
	}
}

// A program may have a parameter for each argument of its probe.
func TestUSDTParameters(t *testing.T) {
	path := probedFile(t)
	c, _ := attachAt(t, openObject(t, "testdata/usdt.bpf.o"), "add", "usdt/"+path+":skep:plain")
	startProbed(t, path).do("p")
	var got int64
	if err := c.Maps["sum"].Lookup(uint32(0), &got); err != nil {
		t.Fatal(err)
	}
	if want := int64(-5 + 0x1122334455667788 - 7); got != want {
		t.Errorf("the sum of the parameters is %d, want %d", got, want)
	}
}

// The semaphore of a probe says to the program that is probed whether anyone is attached,
// and so it does for the process alone that is meant.
func TestUSDTSemaphore(t *testing.T) {
	path := probedFile(t)
	mine, other := startProbed(t, path), startProbed(t, path)
	if got := mine.do("g"); got != "n" {
		t.Errorf("before, the program says %q, want n", got)
	}
	c, link := attachAt(t, openObject(t, "testdata/usdt.bpf.o"), "keep", "usdt/"+path+":skep:guarded,pid="+mine.pid())
	if got := mine.do("g"); got != "y" {
		t.Errorf("attached, the program says %q, want y", got)
	}
	other.do("g")
	if diff := cmp.Diff([]seen{kept([]int32{1}, 'g')}, runsOf(t, c)); diff != "" {
		t.Errorf("the program saw (-want +got):\n%s", diff)
	}
	if err := link.Close(); err != nil {
		t.Fatal(err)
	}
	if got := mine.do("g"); got != "n" {
		t.Errorf("detached, the program says %q, want n", got)
	}
}

// Probes that do not exist are said before anything is attached.
func TestUnknownProbe(t *testing.T) {
	path := probedFile(t)
	for at, want := range map[string]string{
		":skep:plane":    "has no static probe skep:plane; did you mean skep:plain?",
		":skip:guarded":  "has no static probe skip:guarded; did you mean skep:guarded?",
		":libc:*":        "has no static probe libc:*; there is skep:guarded, skep:indexed, skep:memory, skep:none, skep:plain, skep:several, skep:variable",
		":skep":          "want a file and a probe",
		"no:skep:plain":  "no such file or directory",
		":skep:a,pid=me": `"me" is not the number of a process`,
	} {
		point, err := hook.Parse("usdt/" + path + at)
		if err != nil {
			t.Fatal(err)
		}
		where := []hook.Attachment{{Program: "keep", Point: point}}
		c, err := Load(openObject(t, "testdata/usdt.bpf.o"), &Options{Programs: []string{"keep"}, At: where})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Attach(where); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error with %q", at, err, want)
		}
		c.Close()
	}
}

// The description of arguments is written as the object's types have it, whichever
// version of the header it was built with.
func TestEncodeSpec(t *testing.T) {
	number := func(size uint32) btf.Type { return &btf.Int{Size: size} }
	field := func(name string, typ btf.Type, offset, bits btf.Bits) btf.Member {
		return btf.Member{Name: name, Type: typ, Offset: offset, BitfieldSize: bits}
	}
	spec := func(size uint32, members ...btf.Member) btf.Type {
		one := &btf.Struct{Size: size, Members: append(members, field("val_off", number(8), 0, 0))}
		return &btf.Struct{Size: 2*size + 8, Members: []btf.Member{
			field("args", &btf.Array{Type: one, Nelems: 2}, 0, 0),
			field("arg_cnt", number(2), btf.Bits(16*size), 0),
		}}
	}
	plain := spec(16, field("arg_type", &btf.Enum{Size: 4}, 64, 0), field("reg_off", number(2), 96, 0),
		field("arg_signed", number(1), 112, 0), field("arg_bitshift", number(1), 120, 0))
	indexed := spec(24, field("arg_type", number(4), 64, 8), field("idx_reg_off", number(2), 80, 12), field("scale_bitshift", number(2), 92, 4),
		field("reg_off", number(2), 112, 0), field("arg_signed", number(1), 128, 0), field("arg_bitshift", number(1), 136, 0))
	args := []usdt.Arg{
		{Kind: usdt.Memory, Size: 4, Signed: true, Value: -16, Base: 0x20},
		{Kind: usdt.Indexed, Size: 1, Value: 1, Base: 0x98, Index: 0x70, Shift: 3},
	}
	got, err := encodeSpec(indexed, args)
	want := "f0ffffffffffffff" + "020000000000" + "2000" + "01" + "20" + "000000000000" +
		"0100000000000000" + "03007030" + "0000" + "9800" + "00" + "38" + "000000000000" + "0200" + "000000000000"
	if err != nil || hex.EncodeToString(got) != want {
		t.Errorf("with an index: %x, %v, want %s", got, err, want)
	}
	got, err = encodeSpec(plain, args[:1])
	want = "f0ffffffffffffff" + "02000000" + "2000" + "01" + "20" + strings.Repeat("00", 16) + "0100" + "000000000000"
	if err != nil || hex.EncodeToString(got) != want {
		t.Errorf("without an index: %x, %v, want %s", got, err, want)
	}
	for _, tc := range []struct {
		typ  btf.Type
		args []usdt.Arg
		want string
	}{
		{plain, args, "argument 2 is indexed by a register, which the object's usdt.bpf.h is too old for"},
		{plain, slices.Repeat(args[:1], 3), "has no room for 3 arguments"},
		{nil, args, "does not say what map __bpf_usdt_specs holds"},
		{&btf.Struct{Size: 8}, args, "has no arguments"},
	} {
		if _, err := encodeSpec(tc.typ, tc.args); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%v, want an error with %q", err, tc.want)
		}
	}
}

// Where Linux has no cookies, a description is found by where a process has loaded the probe.
func TestUSDTAddress(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	functions, err := fileFunctions(self)
	if err != nil {
		t.Fatal(err)
	}
	probe := usdt.Probe{Provider: "a", Name: "b", Address: 1, Offset: functions.offsets["github.com/skep-ebpf/skep/kernel.probed"]}
	u := usdtArgs{path: self, pid: os.Getpid()}
	if got, err := u.address(&probe); err != nil || got != uint64(reflect.ValueOf(probed).Pointer()) {
		t.Errorf("it is at %#x, %v, want %#x", got, err, reflect.ValueOf(probed).Pointer())
	}
	u.pid = 0
	if _, err := u.address(&probe); err == nil || !strings.Contains(err.Error(), "probe a:b: before Linux 5.15 its arguments are known for one process: write ,pid=N behind it") {
		t.Errorf("of no process: %v", err)
	}
	u.pid, u.path = os.Getpid(), "testdata/probed"
	if _, err := u.address(&probe); err == nil || !strings.Contains(err.Error(), "has not loaded testdata/probed") {
		t.Errorf("of a file that is not loaded: %v", err)
	}
	probe.Fixed = true
	if got, err := u.address(&probe); err != nil || got != 1 {
		t.Errorf("of a file that is loaded at one place alone: %#x, %v, want 1", got, err)
	}
}
