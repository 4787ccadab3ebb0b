package kernelrun

import (
	"errors"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/isa"
)

func newMap(t *testing.T, spec *ebpf.MapSpec) *Map {
	t.Helper()
	m, err := NewMap(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func TestMap(t *testing.T) {
	testenv.Kernel(t)
	m := newMap(t, &ebpf.MapSpec{Name: "m", Type: ebpf.Hash, KeySize: 4, ValueSize: 2, MaxEntries: 4})
	key, value := []byte{1, 2, 3, 4}, make([]byte, 2)
	if err := m.UserLookup(key, value, 0); !errors.Is(err, errno.ENOENT) {
		t.Errorf("looking up what is not there gives %v", err)
	}
	if err := m.UserUpdate(key, []byte{5, 6}, 0); err != nil {
		t.Fatal(err)
	}
	if err := m.UserLookup(key, value, 0); err != nil || !cmp.Equal(value, []byte{5, 6}) {
		t.Errorf("the value is %x, %v", value, err)
	}
	next := make([]byte, 4)
	if err := m.NextKey(nil, next); err != nil || !cmp.Equal(next, key) {
		t.Errorf("the first key is %x, %v", next, err)
	}
	if err := m.NextKey(key, next); !errors.Is(err, errno.ENOENT) {
		t.Errorf("the key after the last gives %v", err)
	}
	if err := m.UserDelete(key); err != nil {
		t.Error(err)
	}
}

// TestRun: what a program does to its packet and to a map comes back.
func TestRun(t *testing.T) {
	testenv.Kernel(t)
	m := newMap(t, &ebpf.MapSpec{Name: "m", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	p, err := Load(ebpf.XDP, []isa.Instruction{
		{Op: isa.ClassLDX | isa.ModeMEM | isa.SizeW, Dst: 2, Src: 1},
		{Op: isa.ClassLDX | isa.ModeMEM | isa.SizeW, Dst: 3, Src: 1, Off: 4},
		{Op: isa.ClassALU64 | isa.AluMOV | isa.SrcX, Dst: 4, Src: 2},
		{Op: isa.ClassALU64 | isa.AluADD, Dst: 4, Imm: 1},
		{Op: isa.ClassJMP | isa.JmpJGT | isa.SrcX, Dst: 4, Src: 3, Off: 1},
		{Op: isa.ClassST | isa.ModeMEM | isa.SizeB, Dst: 2, Imm: 0x77},
		{Op: isa.OpLDDW, Dst: 5, Src: isa.PseudoMapValue}, {},
		{Op: isa.ClassST | isa.ModeMEM | isa.SizeDW, Dst: 5, Imm: 9},
		{Op: isa.ClassALU64 | isa.AluMOV, Dst: 0, Imm: 42},
		{Op: isa.ClassJMP | isa.JmpEXIT},
	}, []*Map{m}, false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	out, err := p.Run(&RunInput{Data: make([]byte, 20)})
	if err != nil {
		t.Fatal(err)
	}
	value := make([]byte, 8)
	if err := m.UserLookup(make([]byte, 4), value, 0); err != nil {
		t.Fatal(err)
	}
	if out.Ret != 42 || len(out.Data) != 20 || out.Data[0] != 0x77 || value[0] != 9 {
		t.Errorf("result %d, packet %x, value %x", out.Ret, out.Data, value)
	}
	testenv.KernelFrom(t, 6, 1, "packets may be too short to be any")
	var n errno.Errno
	if _, err := p.Run(&RunInput{Data: make([]byte, 5)}); !errors.As(err, &n) || n != errno.EINVAL {
		t.Errorf("a packet that is too short gives %v", err)
	}
}

// TestRejected: what the verifier refuses says why, if asked.
func TestRejected(t *testing.T) {
	testenv.Kernel(t)
	_, err := Load(ebpf.SocketFilter, []isa.Instruction{{Op: isa.ClassJMP | isa.JmpEXIT}}, nil, true)
	var r *Rejected
	if !errors.As(err, &r) || r.Log == "" || !errors.Is(err, errno.EACCES) {
		t.Errorf("a program without a result gives %v", err)
	}
}
