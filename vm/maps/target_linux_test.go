package maps

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/testenv"
)

// redirector is a program of both worlds: a number to put into a map.
type redirector struct {
	typ    ebpf.ProgramType
	attach ebpf.AttachType
}

func (r redirector) Kind() (ebpf.ProgramType, ebpf.AttachType) { return r.typ, r.attach }

// TestTargetsLikeTheKernel runs random operations on maps of interfaces and
// CPUs, with programs that fit and programs that do not.
func TestTargetsLikeTheKernel(t *testing.T) {
	testenv.Kernel(t)
	kinds := []redirector{
		{ebpf.XDP, ebpf.AttachXDPDevMap}, {ebpf.XDP, ebpf.AttachXDPCPUMap}, {ebpf.XDP, ebpf.AttachNone}, {ebpf.SchedCLS, ebpf.AttachNone},
	}
	theirs, ours := []uint32{0, ^uint32(0), 1 << 20}, []uint32{0, ^uint32(0), 1 << 20}
	for _, k := range kinds {
		prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
			Type: k.typ, AttachType: k.attach, License: "MIT",
			Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()},
		})
		must(t, err)
		defer prog.Close()
		theirs = append(theirs, uint32(prog.FD()))
		id := RegisterProg(k)
		defer UnregisterProg(id)
		ours = append(ours, id)
	}
	for _, typ := range []ebpf.MapType{ebpf.DevMap, ebpf.DevMapHash, ebpf.CPUMap, ebpf.XSKMap} {
		for _, size := range []uint32{4, 8} {
			if typ == ebpf.XSKMap && size == 8 {
				continue
			}
			t.Run(fmt.Sprintf("%v/%d", typ, size), func(t *testing.T) {
				for seed := range uint64(*sequences) {
					targetSequence(t, typ, size, seed, theirs, ours)
				}
			})
		}
	}
}

// firstWord are a value's first words: interface 1 is the only one that is in
// every network namespace.
func firstWord(typ ebpf.MapType, r *rand.Rand) uint32 {
	switch typ {
	case ebpf.CPUMap:
		return []uint32{0, 1, 192, 16384, 16385, ^uint32(0)}[r.IntN(6)]
	case ebpf.XSKMap:
		return 1 << 20 // no file descriptor
	}
	return uint32(r.IntN(2))
}

func targetSequence(t *testing.T, typ ebpf.MapType, size uint32, seed uint64, theirs, ours []uint32) {
	r := rand.New(rand.NewPCG(seed, 1))
	spec := ebpf.MapSpec{Name: "m", Type: typ, KeySize: 4, ValueSize: size, MaxEntries: uint32(1 + r.IntN(5))}
	if typ != ebpf.CPUMap {
		spec.Flags = []uint32{0, 0, 0, FlagRdonly, FlagWronly}[r.IntN(5)]
	}
	kernel, err := newOracle(&spec, -1)
	must(t, err)
	defer kernel.Close()
	m, err := New(&spec, possibleCPUs())
	must(t, err)
	defer m.Close()
	for i := range 30 {
		key := binary.NativeEndian.AppendUint32(nil, uint32(r.IntN(7)))
		flags := []uint64{0, 0, 0, 0, 1, 2, 3, 4, 1 << 32}[r.IntN(9)]
		first, prog := firstWord(typ, r), r.IntN(len(ours))
		if r.IntN(3) > 0 {
			prog = 0
		}
		value := func(progs []uint32) []byte {
			b := binary.NativeEndian.AppendUint32(nil, first)
			return binary.NativeEndian.AppendUint32(b, progs[prog])[:size]
		}
		a, b := make([]byte, 8), make([]byte, 8)
		var want, got error
		var op string
		switch r.IntN(5) {
		case 0, 1:
			op = fmt.Sprintf("update of %d to %d, program %d, flags %d", u32(key), first, prog, flags)
			want, got = kernel.UserUpdate(key, value(theirs), flags), m.UserUpdate(key, value(ours), flags)
		case 2:
			op = fmt.Sprintf("lookup of %d, flags %d", u32(key), flags)
			want, got = kernel.UserLookup(key, a[:size], flags), m.UserLookup(key, b[:size], flags)
			if u32(a[4:]) != 0 && u32(b[4:]) != 0 {
				copy(a[4:], b[4:]) // Linux gives an id of its own
			}
		case 3:
			op = fmt.Sprintf("deletion of %d", u32(key))
			want, got = kernel.UserDelete(key), m.UserDelete(key)
		case 4:
			op = fmt.Sprintf("key after %d", u32(key))
			want, got = kernel.NextKey(key, a[:4]), m.NextKey(key, b[:4])
			if typ == ebpf.DevMapHash { // whose order is the map's own
				copy(a, b)
				if errnoOf(want) != errnoOf(got) && errnoOf(want) != errno.ENOENT && errnoOf(got) != errno.ENOENT {
					t.Fatalf("%v, operation %d, %s: ours %v, the kernel's %v", &spec, i, op, got, want)
				}
				continue
			}
		}
		if errnoOf(want) != errnoOf(got) || string(a) != string(b) {
			t.Fatalf("%v, seed %d, operation %d, %s: ours %v %x, the kernel's %v %x", &spec, seed, i, op, got, b, want, a)
		}
	}
}
