package vm

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/internal/mem"
)

// TestCodeIsFreed closes programs while others of the same kind run. Code goes when
// nothing leads to it any more: neither a run nor a timer nor a program array.
func TestCodeIsFreed(t *testing.T) {
	before := mem.Codes()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 20 {
				coll, err := NewCollection(tailCaller())
				if err != nil {
					t.Error(err)
					return
				}
				for range 100 {
					ret, _, err := coll.Programs["caller"].Test(make([]byte, 64))
					if ret != 7 || err != nil {
						t.Errorf("the program called gives %d, %v", ret, err)
					}
				}
				coll.Close()
			}
		})
	}
	all.Wait()
	machine.retire(func() {}) // lets go of what was kept for runs
	for range 100 {
		runtime.GC()
		if mem.Codes() <= before {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%d pieces of code are left of programs that are closed", mem.Codes()-before)
}

// TestProgramsAreReplaced puts another program into an array again and again and closes
// the one before, while runs go on in whichever is there.
func TestProgramsAreReplaced(t *testing.T) {
	coll := loadWith(t, ProgramOptions{}, tailCaller())
	var all sync.WaitGroup
	var stop atomic.Bool
	for range 3 {
		all.Go(func() {
			for !stop.Load() {
				ret, _, err := coll.Programs["caller"].Test(make([]byte, 64))
				if err != nil || ret < 7 || ret > 9 {
					t.Errorf("the program called gives %d, %v", ret, err)
					return
				}
			}
		})
	}
	for i := range 100 {
		spec := tailCaller().Programs["called"]
		spec.Instructions[0].Constant = int64(7 + i%3)
		p, err := NewProgram(spec)
		if err != nil {
			t.Fatal(err)
		}
		if err := coll.Maps["progs"].Put(uint32(0), p); err != nil {
			t.Fatal(err)
		}
		p.Close()
		if i%10 == 0 {
			runtime.GC()
		}
	}
	stop.Store(true)
	all.Wait()
}

// tailCaller is a program that tail-calls another one.
func tailCaller() *ebpf.CollectionSpec {
	return &ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{"progs": {
			Name: "progs", Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: 1,
			Contents: []ebpf.MapKV{{Key: uint32(0), Value: "called"}},
		}},
		Programs: map[string]*ebpf.ProgramSpec{
			"called": {Name: "called", Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{
				asm.Mov.Imm(asm.R0, 7), asm.Return(),
			}},
			"caller": {Name: "caller", Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{
				asm.LoadMapPtr(asm.R2, 0).WithReference("progs"),
				asm.Mov.Imm(asm.R3, 0),
				asm.FnTailCall.Call(),
				asm.Mov.Imm(asm.R0, 1), asm.Return(),
			}},
		},
	}
}
