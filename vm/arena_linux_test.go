package vm_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/internal/kernelrun"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/isa"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/maps"
)

// arena is the programs of testdata/kfunc/arena.bpf.c on one of the machines.
type arena struct {
	run func(prog string, in [8]uint64) [64]int64
	// value is the memory of the number that the n-th node of the list has.
	value func(n int) []byte
}

// TestArenaAsInKernel builds a list, changes it from outside and sums it up, and
// touches what is not there.
func TestArenaAsInKernel(t *testing.T) {
	linux, machine := linuxArena(t), machineArena(t)
	both := func(what string, prog string, in ...uint64) {
		t.Helper()
		var all [8]uint64
		copy(all[:], in)
		if diff := cmp.Diff(linux.run(prog, all), machine.run(prog, all)); diff != "" {
			t.Errorf("%s: kernel - / machine +\n%s", what, diff)
		}
	}
	both("build", "build", 10)
	both("sum", "sum")
	for n := range 10 {
		if !bytes.Equal(linux.value(n), machine.value(n)) {
			t.Errorf("node %d has % x, in the kernel % x", n, machine.value(n), linux.value(n))
		}
	}
	binary.NativeEndian.PutUint64(linux.value(3), 1000)
	binary.NativeEndian.PutUint64(machine.value(3), 1000)
	both("sum of a changed list", "sum")
	both("nowhere", "nowhere")
	both("nowhere, at an address", "nowhere", 1<<20)
	both("build another", "build", 30)
	both("sum of the other", "sum")
}

const (
	nodeSize  = 16
	arenaSize = 16 // pages
)

func openArena(t *testing.T) *ebpf.CollectionSpec {
	t.Helper()
	p, err := program.Open(filepath.Join("testdata", "kfunc", "arena.bpf.o"))
	if err != nil {
		t.Fatal(err)
	}
	return p.Spec
}

func machineArena(t *testing.T) *arena {
	coll, err := vm.NewCollection(openArena(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(coll.Close)
	memory, ok := coll.Maps["arena"].Unwrap().(*maps.Arena).Memory()
	if !ok {
		t.Fatal("the arena has no memory")
	}
	return &arena{
		run: func(prog string, in [8]uint64) [64]int64 {
			t.Helper()
			out := [64]int64{}
			if err := errors.Join(coll.Variables["in"].Set(in), coll.Variables["out"].Set(out)); err != nil {
				t.Fatal(err)
			}
			if _, err := coll.Programs[prog].Run(&ebpf.RunOptions{}); err != nil {
				t.Fatal(err)
			}
			if err := coll.Variables["out"].Get(&out); err != nil {
				t.Fatal(err)
			}
			return out
		},
		value: func(n int) []byte { return memory[n*nodeSize+8:][:8] },
	}
}

// linuxArena loads the programs instruction by instruction, as cilium/ebpf does
// not know casts of arena pointers.
func linuxArena(t *testing.T) *arena {
	testenv.KernelFrom(t, 6, 12, "arenas lacked what the program uses")
	spec := openArena(t)
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		t.Skipf("kernel functions are named by the kernel's types: %v", err)
	}
	made := map[string]*kernelrun.Map{}
	memory := map[string][]byte{}
	for _, name := range []string{"arena", ".bss"} {
		m := spec.Maps[name].Copy()
		m.Flags |= unix.BPF_F_MMAPABLE
		size := arenaSize * os.Getpagesize()
		if name == ".bss" {
			size = (int(m.ValueSize) + os.Getpagesize() - 1) / os.Getpagesize() * os.Getpagesize()
		}
		made[name], err = kernelrun.NewMap(m)
		if err != nil {
			t.Skipf("the running kernel has no arenas: %v", err)
		}
		t.Cleanup(func() { made[name].Close() })
		if memory[name], err = made[name].Mmap(size); err != nil {
			t.Fatal(err)
		}
	}
	progs := map[string]*kernelrun.Program{}
	for name := range spec.Programs {
		img, err := program.Link(spec, name, nil)
		if err != nil {
			t.Fatal(err)
		}
		insns := slices.Clone(img.Insns)
		for at, f := range img.Kfuncs {
			var fn *btf.Func
			if err := kernel.TypeByName(f.Name, &fn); err != nil {
				t.Skipf("the running kernel has no %s: %v", f.Name, err)
			}
			id, err := kernel.TypeID(fn)
			if err != nil {
				t.Fatal(err)
			}
			insns[at].Src, insns[at].Imm, insns[at].Off = isa.CallKfunc, int32(id), 0
		}
		var used []*kernelrun.Map
		for _, m := range img.Maps {
			used = append(used, made[m])
		}
		progs[name], err = kernelrun.LoadFor(img.Type, kernelrun.Target{Flags: img.Flags}, insns, used, true)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { progs[name].Close() })
	}
	in, out := spec.Variables["in"].Offset, spec.Variables["out"].Offset
	return &arena{
		run: func(prog string, given [8]uint64) (found [64]int64) {
			t.Helper()
			if _, err := binary.Encode(memory[".bss"][in:], binary.NativeEndian, &given); err != nil {
				t.Fatal(err)
			}
			clear(memory[".bss"][out:][:len(found)*8])
			if _, err := progs[prog].Run(&kernelrun.RunInput{}); err != nil {
				t.Fatal(err)
			}
			if _, err := binary.Decode(memory[".bss"][out:], binary.NativeEndian, &found); err != nil {
				t.Fatal(err)
			}
			return found
		},
		value: func(n int) []byte { return memory["arena"][n*nodeSize+8:][:8] },
	}
}
