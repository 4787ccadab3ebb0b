package vm

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/vm/maps"
)

// drainer takes records, folds their first bytes into its result, and stops at a
// byte of 200 or more.
func drainer() asm.Instructions {
	return append(body(callOf(asm.FnUserRingbufDrain, mapNamed("user"), funcNamed("take"), onStack(-16), 0)),
		btf.WithFuncMetadata(asm.Mov.Reg(asm.R6, asm.R2).WithSymbol("take"), &btf.Func{Name: "take", Type: tickFunc.Type}),
		asm.Mov.Reg(asm.R3, asm.R1),
		asm.Mov.Reg(asm.R1, asm.RFP), asm.Add.Imm(asm.R1, -8),
		asm.Mov.Imm(asm.R2, 1), asm.Mov.Imm(asm.R4, 0), asm.Mov.Imm(asm.R5, 0),
		asm.FnDynptrRead.Call(),
		asm.LoadMem(asm.R1, asm.RFP, -8, asm.Byte),
		asm.LoadMem(asm.R2, asm.R6, 0, asm.DWord),
		asm.Mul.Imm(asm.R2, 31), asm.Add.Reg(asm.R2, asm.R1),
		asm.StoreMem(asm.R6, 0, asm.R2, asm.DWord),
		asm.Mov.Imm(asm.R0, 0),
		asm.JLT.Imm(asm.R1, 200, "take more"),
		asm.Mov.Imm(asm.R0, 1),
		asm.Return().WithSymbol("take more"))
}

// linuxWriter writes into a user ring buffer of Linux's.
type linuxWriter struct {
	produced *uint64
	data     []byte
	size     uint64
}

func newLinuxWriter(t *testing.T, m *ebpf.Map) *linuxWriter {
	t.Helper()
	page, size := os.Getpagesize(), int(m.MaxEntries())
	b, err := unix.Mmap(m.FD(), int64(page), page+2*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Munmap(b) })
	return &linuxWriter{(*uint64)(unsafe.Pointer(&b[0])), b[page:], uint64(size)}
}

func (w *linuxWriter) write(record []byte, discard bool) {
	const header, discarded = 8, 1 << 30
	at := w.data[atomic.LoadUint64(w.produced)&(w.size-1):]
	length := uint32(len(record))
	if discard {
		length |= discarded
	}
	binary.NativeEndian.PutUint32(at, length)
	binary.NativeEndian.PutUint32(at[4:], 0)
	copy(at[header:], record)
	atomic.AddUint64(w.produced, header+uint64(len(record)+7)&^7)
}

// TestUserRingbufAsInKernel writes random records for programs and has them taken.
func TestUserRingbufAsInKernel(t *testing.T) {
	testenv.KernelFrom(t, 6, 1, "there were no ring buffers for users to write")
	spec := func() *ebpf.CollectionSpec {
		return &ebpf.CollectionSpec{Maps: helperMaps(), Programs: map[string]*ebpf.ProgramSpec{
			"main": {Name: "main", Type: ebpf.SchedCLS, License: "GPL", Instructions: drainer()},
		}}
	}
	linux, err := ebpf.NewCollection(spec())
	if err != nil {
		t.Fatalf("%+v", err)
	}
	defer linux.Close()
	machine, err := NewCollection(spec())
	if err != nil {
		t.Fatal(err)
	}
	defer machine.Close()
	theirs, ours := newLinuxWriter(t, linux.Maps["user"]), machine.Maps["user"].Unwrap().(*maps.UserRingbuf)
	r := rand.New(rand.NewPCG(testenv.Seed(t), 0))
	for i := range 2000 {
		for range r.IntN(6) {
			record := make([]byte, 1+r.IntN(64))
			for i := range record {
				record[i] = byte(r.Uint32())
			}
			room, err := ours.Reserve(len(record))
			if err != nil {
				break // full
			}
			copy(room, record)
			discard := r.IntN(4) == 0
			if discard {
				ours.Discard(room)
			} else {
				ours.Submit(room)
			}
			theirs.write(record, discard)
		}
		want, _, err := linux.Programs["main"].Test(make([]byte, 64))
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := machine.Programs["main"].Test(make([]byte, 64))
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Fatalf("drain %d gives %#x, in the kernel %#x", i, got, want)
		}
	}
}
