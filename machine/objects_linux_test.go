package machine_test

import (
	"encoding/binary"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/machine"
	"github.com/skep-ebpf/skep/program"
)

// keeper is a program that does what it is told with objects in lists, trees and pointers
// of maps (vm/testdata/kfunc/object.bpf.c).
type keeper struct {
	machine.Collection
	globals machine.Map
	in, out *ebpf.VariableSpec
}

func newKeeper(t *testing.T, m machine.Machine) *keeper {
	t.Helper()
	p, err := program.Open(filepath.Join("..", "vm", "testdata", "kfunc", "object.bpf.o"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := m.Load(p, &machine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &keeper{c, c.Map(".bss"), p.Spec.Variables["in"], p.Spec.Variables["out"]}
}

// step does one thing with a key, and gives what the program returned and found.
func (k *keeper) step(t *testing.T, what, key uint64) (uint32, [3]int64) {
	t.Helper()
	section := make([]byte, k.globals.ValueSize())
	binary.NativeEndian.PutUint64(section[k.in.Offset:], what)
	binary.NativeEndian.PutUint64(section[k.in.Offset+8:], key)
	if err := k.globals.Put(uint32(0), section); err != nil {
		t.Fatal(err)
	}
	ret, err := k.Run("step", &ebpf.RunOptions{Data: make([]byte, 64)})
	if err != nil {
		t.Fatal(err)
	}
	if err := k.globals.Lookup(uint32(0), section); err != nil {
		t.Fatal(err)
	}
	var out [3]int64
	for i := range out {
		out[i] = int64(binary.NativeEndian.Uint64(section[int(k.out.Offset)+8*i:]))
	}
	return ret, out
}

// TestObjects has both machines keep objects in lists, trees and pointers of maps, and
// find the same in them.
func TestObjects(t *testing.T) {
	testenv.KernelFrom(t, 6, 4, "objects were in no tree and list at once")
	user, kernel := newKeeper(t, machine.User(&machine.UserOptions{})), newKeeper(t, machine.Kernel(&machine.KernelOptions{}))
	rnd := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	found := 0
	for i := range 2000 {
		what, key := rnd.Uint64N(9), rnd.Uint64N(64)
		ret, out := user.step(t, what, key)
		wantRet, want := kernel.step(t, what, key)
		if ret != wantRet || out != want {
			t.Fatalf("step %d, %d with %d: %d %v, in Linux %d %v", i, what, key, ret, out, wantRet, want)
		}
		if what >= 3 && what <= 5 && out[0] >= 0 {
			found++
		}
	}
	if found < 100 {
		t.Errorf("%d objects were taken out again", found)
	}
}
