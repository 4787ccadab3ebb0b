package helper_test

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/engine"
	"github.com/skep-ebpf/skep/vm/exec"
)

// Bytes of the value to print, behind its type's number, flags and the buffer's
// size in words of 8, and of the buffer.
const (
	shownHeader = 24
	shownBytes  = 2048
	shownText   = 1 << 15
)

// showing is a program that prints the value in one map into another.
func showing() *ebpf.CollectionSpec {
	lookup := func(name string, to asm.Register) asm.Instructions {
		return asm.Instructions{
			asm.StoreImm(asm.R10, -4, 0, asm.Word),
			asm.LoadMapPtr(asm.R1, 0).WithReference(name),
			asm.Mov.Reg(asm.R2, asm.R10), asm.Add.Imm(asm.R2, -4),
			asm.FnMapLookupElem.Call(),
			asm.JEq.Imm(asm.R0, 0, "exit"),
			asm.Mov.Reg(to, asm.R0),
		}
	}
	insns := join(lookup("in", asm.R6), lookup("out", asm.R7), asm.Instructions{
		asm.Mov.Reg(asm.R1, asm.R6), asm.Add.Imm(asm.R1, shownHeader),
		asm.StoreMem(asm.R10, -24, asm.R1, asm.DWord),
		asm.LoadMem(asm.R1, asm.R6, 0, asm.DWord),
		asm.StoreMem(asm.R10, -16, asm.R1, asm.DWord),
		asm.Mov.Reg(asm.R1, asm.R7),
		asm.LoadMem(asm.R2, asm.R6, 16, asm.DWord),
		asm.And.Imm(asm.R2, shownText-1), asm.Add.Imm(asm.R2, 1),
		asm.Mov.Reg(asm.R3, asm.R10), asm.Add.Imm(asm.R3, -24),
		asm.Mov.Imm(asm.R4, 16),
		asm.LoadMem(asm.R5, asm.R6, 8, asm.DWord),
		asm.FnSnprintfBtf.Call(),
		asm.Return().WithSymbol("exit"),
	})
	array := func(size uint32) *ebpf.MapSpec {
		return &ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: size, MaxEntries: 1}
	}
	return &ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{"in": array(shownHeader + shownBytes), "out": array(shownText)},
		Programs: map[string]*ebpf.ProgramSpec{
			"show": {Name: "show", Type: ebpf.SchedCLS, License: "GPL", Instructions: insns},
		},
	}
}

// showable reports whether Linux can print values of a type without harm, and
// their size.
func showable(t btf.Type) (int, bool) {
	switch btf.UnderlyingType(t).(type) {
	case *btf.Fwd, *btf.Func, *btf.FuncProto, *btf.Float:
		return 0, true
	case *btf.Struct, *btf.Union, *btf.Int, *btf.Enum, *btf.Pointer, *btf.Array:
		size, err := btf.Sizeof(t)
		return size, err == nil && size <= shownBytes
	}
	return 0, false
}

// TestSnprintfBTFAsInKernel prints random values of Linux's own types.
func TestSnprintfBTFAsInKernel(t *testing.T) {
	testenv.KernelFrom(t, 6, 12, "values of some types were shown otherwise")
	types, err := btf.LoadKernelSpec()
	if err != nil {
		t.Skipf("the kernel's types: %v", err)
	}
	linux, err := ebpf.NewCollection(showing())
	if err != nil {
		t.Fatal(err)
	}
	defer linux.Close()
	var machines []*vm.Collection
	for _, mode := range engine.Modes() {
		c, err := vm.NewCollectionWithOptions(showing(), vm.CollectionOptions{
			Programs: vm.ProgramOptions{Env: &exec.Env{Types: types}, Mode: mode},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		machines = append(machines, c)
	}
	r := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	frame, clean, key := make([]byte, 64), make([]byte, shownText), uint32(0)
	for shown := 0; shown < 3000; {
		id := btf.TypeID(r.IntN(150_000))
		typ, err := types.TypeByID(id)
		if err != nil {
			continue
		}
		size, ok := showable(typ)
		if !ok {
			continue
		}
		shown++
		in := make([]byte, shownHeader+shownBytes)
		flags := uint64(r.IntN(16)) | 1<<2 // no hashed addresses
		room := uint64(shownText - 1)
		switch r.IntN(10) {
		case 0:
			flags |= 1 << (4 + r.IntN(60))
		case 1:
			room = uint64(r.IntN(100))
		case 2:
			id = btf.TypeID(r.Uint32()) | 1<<24
		}
		binary.LittleEndian.PutUint64(in, uint64(id))
		binary.LittleEndian.PutUint64(in[8:], flags)
		binary.LittleEndian.PutUint64(in[16:], room)
		value := in[shownHeader:][:size]
		zeros := r.IntN(5)
		for i := range value {
			if r.IntN(4) >= zeros {
				value[i] = byte(r.Uint32())
			}
		}
		run := func(m interface{ Put(k, v any) error }, out interface {
			Put(k, v any) error
			Lookup(k, v any) error
		}, test func([]byte) (uint32, []byte, error)) (uint32, []byte) {
			t.Helper()
			text := make([]byte, shownText)
			if err := m.Put(key, in); err != nil {
				t.Fatal(err)
			}
			if err := out.Put(key, clean); err != nil {
				t.Fatal(err)
			}
			ret, _, err := test(frame)
			if err != nil {
				t.Fatal(err)
			}
			if err := out.Lookup(key, text); err != nil {
				t.Fatal(err)
			}
			return ret, text
		}
		want, wantText := run(linux.Maps["in"], linux.Maps["out"], linux.Programs["show"].Test)
		for _, c := range machines {
			got, text := run(c.Maps["in"], c.Maps["out"], c.Programs["show"].Test)
			if got == want && bytes.Equal(text, wantText) {
				continue
			}
			n := bytes.IndexByte(wantText, 0)
			t.Fatalf("%v (type %d), flags %#x, room %d, value %x:\n%d %q\nthe kernel:\n%d %q",
				typ, id, flags, room+1, value, int32(got), text[:bytes.IndexByte(text, 0)], int32(want), wantText[:n])
		}
	}
}
