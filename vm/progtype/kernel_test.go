package progtype_test

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/vm/engine"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/internal/oracle"
	"github.com/skep-ebpf/skep/vm/progtype"
)

var packetTypes = []ebpf.ProgramType{
	ebpf.XDP, ebpf.SchedCLS, ebpf.SchedACT, ebpf.SocketFilter, ebpf.CGroupSKB,
	ebpf.LWTIn, ebpf.LWTOut, ebpf.LWTXmit,
}

// sizes are the widths of accesses, in bytes.
var sizes = map[int]asm.Size{1: asm.Byte, 2: asm.Half, 4: asm.Word, 8: asm.DWord}

// Ethernet, IPv4 and UDP with eight bytes behind.
func udpPacket() []byte {
	p := append(make([]byte, 12), 0x08, 0, 0x45, 0, 0, 36, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2)
	return append(p, 0, 53, 4, 0, 0, 16, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8)
}

// skbCtx is a context that sets all that a test run may.
func skbCtx() []byte {
	ctx := make([]byte, 192)
	le := binary.LittleEndian
	le.PutUint32(ctx[8:], 0xa1b2c3d4)  // mark
	le.PutUint32(ctx[32:], 0x01020304) // priority
	le.PutUint32(ctx[36:], 1)          // ingress_ifindex
	le.PutUint32(ctx[40:], 1)          // ifindex
	for i := range 20 {
		ctx[48+i] = byte(0xc0 + i)
	}
	le.PutUint64(ctx[152:], 0x1122334455667788) // tstamp
	le.PutUint32(ctx[160:], 4000)               // wire_len
	le.PutUint32(ctx[164:], 7)                  // gso_segs
	le.PutUint32(ctx[176:], 1400)               // gso_size
	le.PutUint64(ctx[184:], 0x8877665544332211) // hwtstamp
	return ctx
}

// TestContextAccess holds every access of every context against Linux: whether
// it is allowed, and what a load of a number gives.
func TestContextAccess(t *testing.T) {
	testenv.Kernel(t)
	s := oracle.State(t)
	for _, typ := range packetTypes {
		desc, err := progtype.Get(typ)
		if err != nil {
			t.Fatal(err)
		}
		var ctx []byte
		if typ != ebpf.XDP {
			ctx = skbCtx()
		}
		t.Run(desc.Name, func(t *testing.T) {
			for off := 0; off < desc.CtxSize; off++ {
				for size, width := range sizes {
					for _, write := range []bool{false, true} {
						checkAccess(t, s, desc, off, size, width, write, ctx)
					}
				}
			}
		})
	}
}

func checkAccess(t *testing.T, s *exec.State, desc *progtype.Type, off, size int, width asm.Size, write bool, ctx []byte) {
	t.Helper()
	insns := append(asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, int16(off), width),
		asm.Mov.Reg(asm.R0, asm.R2),
		asm.RSh.Imm(asm.R2, 32),
		asm.Xor.Reg(asm.R0, asm.R2),
	}, oracle.Exit(desc.Prog)...)
	field, refused := desc.Access(off, size, write)
	switch {
	case write:
		insns = asm.Instructions{
			asm.LoadImm(asm.R2, 0x0807060504030201, asm.DWord),
			asm.StoreMem(asm.R1, int16(off), asm.R2, width),
			asm.Mov.Imm(asm.R0, 0),
			asm.Return(),
		}
	case refused == nil && field.Kind != progtype.Scalar, off == 168: // sk is a pointer, too
		insns = asm.Instructions{insns[0], asm.Mov.Imm(asm.R0, 0), asm.Return()}
	}
	// egress_ifindex is for programs that are attached to a devmap's entry.
	if desc.Prog == ebpf.XDP && off == 20 {
		return
	}
	run := oracle.Run{Type: desc.Prog, Insns: insns, Data: udpPacket(), Ctx: ctx}
	kernel, kernelRefused := run.Kernel(t)
	if (refused == nil) != (kernelRefused == nil) {
		t.Errorf("access of %d bytes at %d, write %v: %v; the kernel: %v", size, off, write, refused, kernelRefused)
		return
	}
	if refused != nil {
		return
	}
	for _, mode := range engine.Modes() {
		if got := run.Machine(t, s, mode); !got.Equal(kernel) {
			t.Errorf("access of %d bytes at %d, write %v, field %s, mode %v:\n%v\nthe kernel:\n%v",
				size, off, write, field.Name, mode, got, kernel)
		}
	}
}

// TestStores holds what a store leaves in fields that Linux keeps narrower than
// it shows them.
func TestStores(t *testing.T) {
	testenv.Kernel(t)
	s := oracle.State(t)
	desc, err := progtype.Get(ebpf.SchedCLS)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range desc.Fields {
		if !f.Write {
			continue
		}
		width := sizes[min(int(f.Size), 4)]
		if f.Size == 8 {
			width = asm.DWord
		}
		for _, v := range []int64{0, 5, 0xfffe, 0xffff, 0x10001, -1} {
			run := oracle.Run{Type: desc.Prog, Data: udpPacket(), Insns: asm.Instructions{
				asm.LoadImm(asm.R2, v, asm.DWord),
				asm.StoreMem(asm.R1, int16(f.Off), asm.R2, width),
				asm.LoadMem(asm.R0, asm.R1, int16(f.Off), width),
				asm.Return(),
			}}
			kernel, err := run.Kernel(t)
			if err != nil {
				t.Fatal(err)
			}
			for _, mode := range engine.Modes() {
				if got := run.Machine(t, s, mode); !got.Equal(kernel) {
					t.Errorf("%s = %#x, mode %v: R0 = %#x, error %v; the kernel %#x", f.Name, v, mode, got.Ret, got.Err, kernel.Ret)
				}
			}
		}
	}
}

// TestSetup holds what a run begins and ends with against Linux, for random
// packets and contexts.
func TestSetup(t *testing.T) {
	testenv.Kernel(t)
	s := oracle.State(t)
	rnd := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	for _, typ := range packetTypes {
		for range 300 {
			data := randomPacket(rnd)
			var ctx []byte
			if rnd.IntN(2) == 0 {
				ctx = randomCtx(rnd, typ, len(data))
			}
			run := oracle.Run{Type: typ, Insns: readAll(typ), Data: data, Ctx: ctx}
			kernel, err := run.Kernel(t)
			if err != nil {
				t.Fatal(err)
			}
			if got := run.Machine(t, s, engine.Auto); !got.Equal(kernel) {
				t.Fatalf("%v, packet %x, context %x:\n%v\nthe kernel:\n%v", typ, data, ctx, got, kernel)
			}
		}
	}
}

// readAll makes one number of all fields that a type may read.
func readAll(typ ebpf.ProgramType) asm.Instructions {
	desc, _ := progtype.Get(typ)
	insns := asm.Instructions{asm.Mov.Imm(asm.R0, 0)}
	for _, f := range desc.Fields {
		step := min(int(f.Size), 4)
		switch {
		case f.Kind != progtype.Scalar, f.Name == "sk", f.Name == "egress_ifindex":
			continue
		case f.Whole:
			step = int(f.Size)
		}
		for off := f.Off; off < f.Off+f.Size; off += uint16(step) {
			insns = append(insns,
				asm.LoadMem(asm.R2, asm.R1, int16(off), sizes[step]),
				asm.Mul.Imm(asm.R0, 31),
				asm.Add.Reg(asm.R0, asm.R2))
		}
	}
	return append(insns, oracle.Exit(typ)...)
}

func randomPacket(rnd *rand.Rand) []byte {
	data := make([]byte, 10+rnd.IntN(90))
	for i := range data {
		data[i] = byte(rnd.Uint32())
	}
	if len(data) < 14 {
		return data
	}
	switch rnd.IntN(4) {
	case 0:
		clear(data[:6])
	case 1:
		copy(data, "\xff\xff\xff\xff\xff\xff")
	}
	types := []uint16{0x0800, 0x86dd, 0x8100, 0x88a8, 0x0806, 100, 0x05ff, 0x0600}
	if i := rnd.IntN(len(types) + 1); i < len(types) {
		binary.BigEndian.PutUint16(data[12:], types[i])
	}
	return data
}

// randomCtx sets some of what a run takes, and now and then what it does not.
func randomCtx(rnd *rand.Rand, typ ebpf.ProgramType, length int) []byte {
	le := binary.LittleEndian
	if typ == ebpf.XDP {
		ctx := make([]byte, 24)
		le.PutUint32(ctx, uint32(rnd.IntN(12))*4)
		le.PutUint32(ctx[4:], uint32(length))
		le.PutUint32(ctx[12:], uint32(rnd.IntN(2)))
		switch rnd.IntN(8) {
		case 0: // loopback has one queue; which another interface has, we cannot know
			clear(ctx[12:16])
			le.PutUint32(ctx[16:], uint32(rnd.IntN(2)))
		case 1:
			le.PutUint32(ctx[4*[]int{0, 2, 5}[rnd.IntN(3)]:], uint32(rnd.IntN(300)))
		}
		return ctx
	}
	ctx := skbCtx()
	for _, off := range []int{8, 32, 36, 152, 160, 164, 176, 184} {
		switch rnd.IntN(3) {
		case 0:
			clear(ctx[off : off+4])
		case 1:
			le.PutUint32(ctx[off:], rnd.Uint32N(2000))
		}
	}
	if rnd.IntN(8) == 0 {
		// data_end cuts the packet in two, which only newer kernels know.
		if off := 4 * rnd.IntN(48); off != 80 && off != 40 {
			ctx[off] ^= 1
		}
	}
	return ctx
}

// TestInputRefused checks that what Linux refuses with EINVAL, so do we.
func TestInputRefused(t *testing.T) {
	s := oracle.State(t)
	for _, typ := range packetTypes {
		desc, err := progtype.Get(typ)
		if err != nil {
			t.Fatal(err)
		}
		if err := desc.Setup(s, &progtype.Input{Data: make([]byte, 13)}); !errors.Is(err, errno.EINVAL) {
			t.Errorf("%s takes 13 bytes: %v", desc.Name, err)
		}
		if err := desc.Setup(s, &progtype.Input{Data: make([]byte, exec.MaxPacket+1)}); err == nil {
			t.Errorf("%s takes a packet longer than the machine's longest", desc.Name)
		}
	}
}

// TestSyscall checks that a syscall program's context is the caller's memory, for
// as long as the run.
func TestSyscall(t *testing.T) {
	run := oracle.Run{Type: ebpf.Syscall, Ctx: []byte{1, 2, 3, 4, 0, 0, 0, 0}, Insns: asm.Instructions{
		asm.LoadMem(asm.R0, asm.R1, 0, asm.Word),
		asm.StoreMem(asm.R1, 4, asm.R0, asm.Half),
		asm.Return(),
	}}
	for _, mode := range engine.Modes() {
		got := run.Machine(t, oracle.State(t), mode)
		if want := (oracle.Result{Ret: 0x04030201, Ctx: []byte{1, 2, 3, 4, 1, 2, 0, 0}}); !got.Equal(want) {
			t.Errorf("%v\nwant\n%v", got, want)
		}
	}
	run.Ctx = run.Ctx[:6]
	if got := run.Machine(t, oracle.State(t), engine.Checked); got.Err != nil {
		t.Errorf("a context of 6 bytes: %v", got.Err)
	}
	run.Ctx = run.Ctx[:5]
	if got := run.Machine(t, oracle.State(t), engine.Checked); got.Err == nil {
		t.Error("a store beyond the context is let through")
	}
	run.Data = []byte{1}
	if got := run.Machine(t, oracle.State(t), engine.Checked); !errors.Is(got.Err, errno.EINVAL) {
		t.Errorf("a packet for a syscall program: %v", got.Err)
	}
}

// TestSetupAllocates checks that a run's set-up leaves the heap alone.
func TestSetupAllocates(t *testing.T) {
	s := oracle.State(t)
	data := udpPacket()
	for _, typ := range packetTypes {
		desc, err := progtype.Get(typ)
		if err != nil {
			t.Fatal(err)
		}
		in := progtype.Input{Data: data}
		out := progtype.Output{Data: make([]byte, 0, 256)}
		n := testing.AllocsPerRun(10, func() {
			if err := desc.Setup(s, &in); err != nil {
				t.Fatal(err)
			}
			out.Data = out.Data[:0]
			desc.Finish(s, &out)
		})
		if n != 0 {
			t.Errorf("%s: %v allocations a run", desc.Name, n)
		}
	}
}
