package vm_test

import (
	"encoding/binary"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm"
)

// TestWorkqueuesAsInKernel does random operations with two workqueues in Linux and
// here, and holds against each other what they give and what was done.
func TestWorkqueuesAsInKernel(t *testing.T) {
	testenv.Kernel(t)
	open := func() *ebpf.CollectionSpec {
		p, err := program.Open(filepath.Join("testdata", "kfunc", "workqueue.bpf.o"))
		if err != nil {
			t.Fatal(err)
		}
		return p.Spec
	}
	rnd := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	for range 20 {
		linux, err := ebpf.NewCollection(open())
		if err != nil {
			t.Skipf("the running kernel does not take the program: %v", err)
		}
		defer linux.Close()
		machine, err := vm.NewCollection(open())
		if err != nil {
			t.Fatal(err)
		}
		defer machine.Close()
		kernel := runner{"kernel", linux.Programs["queue"].Run, func(name string) variable { return linux.Variables[name] }}
		ours := runner{"machine", machine.Programs["queue"].Run, func(name string) variable { return machine.Variables[name] }}
		for range 40 {
			in := kfuncInput{In: [8]uint64{rnd.Uint64N(3), pick(rnd, 0, 0, 0, 0, 0, 1, 1<<32), rnd.Uint64N(2)}, Data: make([]byte, 64)}
			want := kernel.do(t, &in)
			for range 1000 { // Linux may not sleep for memory here, and so may have none at the moment
				if want.Out[0] != -int64(errno.ENOMEM) {
					break
				}
				time.Sleep(time.Millisecond)
				want = kernel.do(t, &in)
			}
			if diff := cmp.Diff(want, ours.do(t, &in)); diff != "" {
				t.Fatalf("%d: kernel - / machine +\n%s", in.In, diff)
			}
			if _, err := machine.RunTimers(t.Context()); err != nil {
				t.Fatal(err)
			}
			done := func(m interface{ LookupBytes(any) ([]byte, error) }) (counts [2]uint64) {
				for key := range counts {
					value, err := m.LookupBytes(uint32(key))
					if err != nil {
						t.Fatal(err)
					}
					counts[key] = binary.NativeEndian.Uint64(value)
				}
				return counts
			}
			wanted, got := done(linux.Maps["works"]), done(machine.Maps["works"])
			for patience := time.Now().Add(2 * time.Second); wanted != got && time.Now().Before(patience); {
				time.Sleep(100 * time.Microsecond) // Linux's worker is about to begin
				wanted = done(linux.Maps["works"])
			}
			if wanted != got {
				t.Fatalf("%d: done %d, in the kernel %d", in.In, got, wanted)
			}
		}
	}
}
