package ringbuf_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/ringbuf"
)

// sender gives a program that sends its packet's length as a record of 8 bytes.
func sender(t *testing.T) *vm.Collection {
	t.Helper()
	coll, err := vm.NewCollection(&ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{
			"ring":  {Name: "ring", Type: ebpf.RingBuf, MaxEntries: 4096},
			"array": {Name: "array", Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1},
		},
		Programs: map[string]*ebpf.ProgramSpec{"send": {Name: "send", Type: ebpf.SchedCLS, Instructions: asm.Instructions{
			asm.LoadMem(asm.R1, asm.R1, 0, asm.Word), // skb->len
			asm.StoreMem(asm.RFP, -8, asm.R1, asm.DWord),
			asm.LoadMapPtr(asm.R1, 0).WithReference("ring"),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, -8),
			asm.Mov.Imm(asm.R3, 8),
			asm.Mov.Imm(asm.R4, 0),
			asm.FnRingbufOutput.Call(),
			asm.Return(),
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(coll.Close)
	return coll
}

func send(t *testing.T, coll *vm.Collection, length int) {
	t.Helper()
	if _, _, err := coll.Programs["send"].Test(make([]byte, length)); err != nil {
		t.Error(err)
	}
}

func TestRead(t *testing.T) {
	coll := sender(t)
	r, err := ringbuf.NewReader(coll.Maps["ring"])
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()

	// A reader that waits is woken.
	go func() {
		time.Sleep(10 * time.Millisecond)
		send(t, coll, 60)
	}()
	rec, err := r.Read()
	if err != nil || len(rec.RawSample) != 8 || rec.RawSample[0] != 60 {
		t.Fatal(rec, err)
	}

	// Records come in order, and what remains is told.
	send(t, coll, 61)
	send(t, coll, 62)
	if n := r.AvailableBytes(); n != 32 {
		t.Fatalf("%d bytes wait, want two headers and two records: 32", n)
	}
	for i, remaining := range []int{16, 0} {
		if rec, err := r.Read(); err != nil || rec.RawSample[0] != byte(61+i) || rec.Remaining != remaining {
			t.Fatal(rec, err)
		}
	}

	r.SetDeadline(time.Now().Add(5 * time.Millisecond))
	if _, err := r.Read(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	r.SetDeadline(time.Time{})

	// A flush gives what is there, then says so, once.
	send(t, coll, 63)
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	if rec, err := r.Read(); err != nil || rec.RawSample[0] != 63 {
		t.Fatal(rec, err)
	}
	if _, err := r.Read(); !errors.Is(err, ringbuf.ErrFlushed) {
		t.Fatal(err)
	}

	// Close ends a Read that waits.
	time.AfterFunc(10*time.Millisecond, func() { r.Close() })
	if _, err := r.Read(); !errors.Is(err, ringbuf.ErrClosed) {
		t.Fatal(err)
	}
	if _, err := r.Read(); !errors.Is(err, os.ErrClosed) {
		t.Fatal(err)
	}
	if _, err := ringbuf.NewReader(coll.Maps["array"]); err == nil {
		t.Fatal("an array was read as a ring buffer")
	}
}
