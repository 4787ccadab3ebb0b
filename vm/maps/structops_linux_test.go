package maps

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/internal/testenv"
)

// opsTrial is a kernel with struct tcp_congestion_ops, and programs for its members.
type opsTrial struct {
	value  *btf.Struct // Linux's type of the map's value
	ops    *btf.Struct
	at     uint32 // of ops in value
	id     btf.TypeID
	other  btf.TypeID // of a type that is no structure of operations
	types  *btf.Handle
	progs  map[string]*ebpf.Program // by member
	ours   map[string]uint32        // the same, by our numbers
	names  int
	xdp    *ebpf.Program
	xdpOur uint32
}

// opsProg is a program as a struct_ops map asks of it.
type opsProg struct {
	typ    ebpf.ProgramType
	attach ebpf.AttachType
}

func (p opsProg) Kind() (ebpf.ProgramType, ebpf.AttachType) { return p.typ, p.attach }

func newOpsTrial(t *testing.T) *opsTrial {
	t.Helper()
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		t.Fatal(err)
	}
	o := &opsTrial{progs: make(map[string]*ebpf.Program), ours: make(map[string]uint32)}
	if err := kernel.TypeByName("bpf_struct_ops_tcp_congestion_ops", &o.value); err != nil {
		t.Skipf("this kernel has no congestion control in programs: %v", err)
	}
	if o.id, err = kernel.TypeID(o.value); err != nil {
		t.Fatal(err)
	}
	for _, m := range o.value.Members {
		if s, ok := btf.As[*btf.Struct](m.Type); ok && s.Name == "tcp_congestion_ops" {
			o.ops, o.at = s, m.Offset.Bytes()
		}
	}
	if o.other, err = kernel.TypeID(o.ops); err != nil {
		t.Fatal(err)
	}
	b, err := btf.NewBuilder([]btf.Type{&btf.Int{Name: "int", Size: 4}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if o.types, err = btf.NewHandle(b); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.types.Close() })
	load := func(spec *ebpf.ProgramSpec) *ebpf.Program {
		p, err := ebpf.NewProgram(spec)
		if err != nil {
			t.Fatalf("%s: %+v", spec.AttachTo, err)
		}
		t.Cleanup(func() { p.Close() })
		return p
	}
	register := func(p opsProg) uint32 {
		id := RegisterProg(p)
		t.Cleanup(func() { UnregisterProg(id) })
		return id
	}
	insns := asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}
	for _, member := range []string{"ssthresh", "cong_avoid", "undo_cwnd", "set_state", "cong_control"} {
		o.progs[member] = load(&ebpf.ProgramSpec{
			Type: ebpf.StructOps, AttachTo: "tcp_congestion_ops:" + member, License: "GPL", Instructions: insns,
		})
		o.ours[member] = register(opsProg{ebpf.StructOps, o.index(member)})
	}
	o.xdp = load(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "GPL", Instructions: insns})
	o.xdpOur = register(opsProg{typ: ebpf.XDP})
	return o
}

func (o *opsTrial) index(member string) ebpf.AttachType {
	for i, m := range o.ops.Members {
		if m.Name == member {
			return ebpf.AttachType(i)
		}
	}
	return 0
}

func (o *opsTrial) offset(member string) uint32 {
	return o.at + o.ops.Members[o.index(member)].Offset.Bytes()
}

// create makes a map in Linux and here, of good or bad attributes.
func (o *opsTrial) create(t *testing.T, r *rand.Rand) (kernel *oracle, ours Map, ok bool) {
	var attr struct {
		typ, key, value, max, flags, inner, numa uint32
		name                                     [16]byte
		ifindex, btf, btfKey, btfValue, vmlinux  uint32
		extra                                    uint64
	}
	spec := ebpf.MapSpec{
		Type: ebpf.StructOpsMap, KeySize: rarely(r, 4, 0, 8), ValueSize: rarely(r, o.value.Size, 0, 8, o.value.Size+8),
		MaxEntries: rarely(r, 1, 0, 2), Flags: rarely(r, 0, FlagRdonly, FlagWronly, FlagMmapable, FlagNoPrealloc), Value: o.value,
	}
	if r.IntN(2) == 0 {
		spec.Flags |= FlagLink
	}
	attr.typ, attr.key, attr.value, attr.max, attr.flags = uint32(spec.Type), spec.KeySize, spec.ValueSize, spec.MaxEntries, spec.Flags
	attr.btf, attr.vmlinux = uint32(o.types.FD()), uint32(o.id)
	fd, want := bpf(unix.BPF_MAP_CREATE, unsafe.Pointer(&attr), unsafe.Sizeof(attr))
	ours, got := New(&spec, possibleCPUs())
	if errnoOf(got) != errnoOf(want) {
		t.Fatalf("%v: the kernel %v, ours %v", &spec, want, got)
	}
	return &oracle{fd, int(o.value.Size)}, ours, want == nil
}

// fill gives a value for Linux and the same for here, where programs have other
// numbers.
func (o *opsTrial) fill(r *rand.Rand, seed uint64) (kernel, ours []byte) {
	kernel = make([]byte, o.value.Size)
	o.names++
	name := fmt.Sprintf("skep%d_%d", seed%100000, o.names)
	switch r.IntN(10) {
	case 0:
		name = ""
	case 1:
		name = "bad name"
	case 2:
		name = "more than sixteen letters"
	}
	copy(kernel[o.offset("name"):][:16], name)
	if r.IntN(6) == 0 {
		kernel[o.offset("flags")] = []byte{1, 2, 3, 0x80}[r.IntN(4)] // those between are of newer kernels
	}
	if i := r.IntN(len(kernel)); r.IntN(4) == 0 && !o.inFunction(uint32(i)) {
		kernel[i] ^= 1
	}
	ours = bytes.Clone(kernel)
	put := func(member string, theirs, our uint32) {
		binary.NativeEndian.PutUint64(kernel[o.offset(member):], uint64(theirs))
		binary.NativeEndian.PutUint64(ours[o.offset(member):], uint64(our))
	}
	for _, member := range []string{"ssthresh", "cong_avoid", "undo_cwnd", "set_state", "cong_control"} {
		switch n := r.IntN(16); {
		case n == 0:
			put(member, uint32(o.xdp.FD()), o.xdpOur)
		case n == 1:
			put(member, 98765, 98765)
		case n == 2:
			put(member, uint32(o.progs["set_state"].FD()), o.ours["set_state"])
		case n > 3:
			put(member, uint32(o.progs[member].FD()), o.ours[member])
		}
	}
	return kernel, ours
}

// inFunction reports whether a byte of the value is a program's number, which means
// another program there than here.
func (o *opsTrial) inFunction(at uint32) bool {
	for _, m := range o.ops.Members {
		if from := o.at + m.Offset.Bytes(); isFunc(m.Type) && at >= from && at < from+8 {
			return true
		}
	}
	return false
}

// TestStructOpsLikeTheKernel does the same random operations on struct_ops maps there
// and here: before and after they are in use, with programs for members or not.
func TestStructOpsLikeTheKernel(t *testing.T) {
	testenv.KernelFrom(t, 6, 12, "there was no congestion control without some members")
	o := newOpsTrial(t)
	first := testenv.Seed(t) >> 32
	for i := range uint64(*sequences) {
		seed := first + i
		r := rand.New(rand.NewPCG(seed, 0))
		kernel, ours, ok := o.create(t, r)
		if !ok {
			continue
		}
		var log string
		for range 30 {
			line, same := o.step(r, seed, kernel, ours)
			if log += line; !same {
				t.Fatalf("seed %d:\n%s", seed, log)
			}
		}
		_ = kernel.UserDelete(le32(0)) // which takes it out of use
		kernel.Close()
		ours.Close()
	}
}

// step does one operation on both maps, and reports whether they agree.
func (o *opsTrial) step(r *rand.Rand, seed uint64, kernel, ours userMap) (log string, same bool) {
	key := le32(rarely(r, 0, 1, 9))
	flags := uint64(rarely(r, 0, 1, 2, 4, 8))
	a, b := make([]byte, o.value.Size), make([]byte, o.value.Size)
	var op string
	var want, got error
	switch n := r.IntN(12); {
	case n < 5:
		op = "update"
		theirs, our := o.fill(r, seed)
		want, got = kernel.UserUpdate(key, theirs, flags), ours.UserUpdate(key, our, flags)
		op += fmt.Sprintf(" %x", our)
	case n < 8:
		op = "lookup"
		want, got = kernel.UserLookup(key, a, flags), ours.UserLookup(key, b, flags)
		for _, m := range o.ops.Members {
			if isFunc(m.Type) { // programs' numbers
				at := o.at + m.Offset.Bytes()
				for _, v := range [][]byte{a, b} {
					if binary.NativeEndian.Uint64(v[at:]) != 0 {
						binary.NativeEndian.PutUint64(v[at:], 1)
					}
				}
			}
		}
	case n < 9:
		op = "delete"
		want, got = kernel.UserDelete(key), ours.UserDelete(key)
	case n < 10:
		op = "lookup and delete"
		want, got = kernel.LookupAndDelete(key, a, flags), ours.LookupAndDelete(key, b, flags)
	case n < 11:
		op = "next key"
		want, got = kernel.NextKey(key, a[:4]), ours.NextKey(key, b[:4])
	default:
		op = "freeze"
		want, got = kernel.Freeze(), ours.Freeze()
	}
	same = errnoOf(want) == errnoOf(got) && (want != nil || bytes.Equal(a, b))
	log = fmt.Sprintf("%s key %x flags %d: kernel %v, ours %v\n", op, key, flags, want, got)
	if !same {
		log += fmt.Sprintf("kernel %x\nours   %x\n", a, b)
	}
	return log, same
}
