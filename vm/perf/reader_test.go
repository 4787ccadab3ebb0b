package perf_test

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/skep-ebpf/skep/vm"
	"github.com/skep-ebpf/skep/vm/perf"
)

// sender gives a program that sends its packet's length as a sample of 8 bytes
// to its own CPU's ring and returns what the helper gave.
func sender(t *testing.T) *vm.Collection {
	t.Helper()
	coll, err := vm.NewCollection(&ebpf.CollectionSpec{
		Maps: map[string]*ebpf.MapSpec{
			"events": {Name: "events", Type: ebpf.PerfEventArray, KeySize: 4, ValueSize: 4, MaxEntries: uint32(vm.PossibleCPU())},
		},
		Programs: map[string]*ebpf.ProgramSpec{"send": {Name: "send", Type: ebpf.SchedCLS, License: "GPL", Instructions: asm.Instructions{
			asm.LoadMem(asm.R2, asm.R1, 0, asm.Word), // skb->len
			asm.StoreMem(asm.RFP, -8, asm.R2, asm.DWord),
			asm.LoadMapPtr(asm.R2, 0).WithReference("events"),
			asm.LoadImm(asm.R3, 0xffffffff, asm.DWord), // BPF_F_CURRENT_CPU
			asm.Mov.Reg(asm.R4, asm.RFP),
			asm.Add.Imm(asm.R4, -8),
			asm.Mov.Imm(asm.R5, 8),
			asm.FnPerfEventOutput.Call(),
			asm.Return(),
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(coll.Close)
	return coll
}

func send(t *testing.T, coll *vm.Collection, length int) int32 {
	t.Helper()
	ret, _, err := coll.Programs["send"].Test(make([]byte, length))
	if err != nil {
		t.Error(err)
	}
	return int32(ret)
}

func TestRead(t *testing.T) {
	coll := sender(t)
	const enoent, enospc = -2, -28
	if got := send(t, coll, 60); got != enoent {
		t.Fatalf("without a reader the helper gave %d", got)
	}
	r, err := perf.NewReader(coll.Maps["events"], 1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if r.BufferSize() != 4096 {
		t.Fatalf("a ring has %d bytes", r.BufferSize())
	}

	go func() {
		time.Sleep(10 * time.Millisecond)
		send(t, coll, 60)
	}()
	if rec, err := r.Read(); err != nil || rec.RawSample[0] != 60 || rec.LostSamples != 0 {
		t.Fatal(rec, err)
	}

	send(t, coll, 60)
	send(t, coll, 60)
	for _, remaining := range []int{16, 0} { // a header and a sample, 8 bytes each
		if rec, err := r.Read(); err != nil || rec.Remaining != remaining {
			t.Fatal(rec, err)
		}
	}

	// A full ring loses samples, and says how many.
	lost := uint64(0)
	for send(t, coll, 61) != enospc {
	}
	lost++
	for range 4 {
		send(t, coll, 61)
		lost++
	}
	var told uint64
	r.SetDeadline(time.Now().Add(5 * time.Millisecond))
	for {
		rec, err := r.Read()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		told += rec.LostSamples
	}
	send(t, coll, 62) // the kernel, too, tells of a loss with the next sample
	r.SetDeadline(time.Now().Add(5 * time.Millisecond))
	for {
		rec, err := r.Read()
		if err != nil {
			break
		}
		told += rec.LostSamples
	}
	if told != lost {
		t.Fatalf("told of %d lost samples, want %d", told, lost)
	}

	r.SetDeadline(time.Time{})
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(); !errors.Is(err, perf.ErrFlushed) {
		t.Fatal(err)
	}
	time.AfterFunc(10*time.Millisecond, func() { r.Close() })
	if _, err := r.Read(); !errors.Is(err, perf.ErrClosed) {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil { // waits for the first
		t.Fatal(err)
	}
	if got := send(t, coll, 60); got != enoent {
		t.Fatalf("after Close the helper gave %d", got)
	}
}

func TestWakeupEvents(t *testing.T) {
	coll := sender(t)
	r, err := perf.NewReaderWithOptions(coll.Maps["events"], 4096, perf.ReaderOptions{WakeupEvents: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	// The test's runs are on one CPU, as each takes the first that is free.
	got := make(chan byte)
	go func() {
		for range 3 {
			rec, err := r.Read()
			if err != nil {
				t.Error(err)
				break
			}
			got <- rec.RawSample[0]
		}
		close(got)
	}()
	send(t, coll, 61)
	send(t, coll, 62)
	select {
	case first := <-got:
		t.Fatalf("woken for %d alone", first)
	case <-time.After(20 * time.Millisecond):
	}
	send(t, coll, 63)
	for want := byte(61); want <= 63; want++ {
		if b, ok := <-got; !ok || b != want {
			t.Fatalf("got %d, want %d", b, want)
		}
	}

	// What nobody was woken for is there when the wait ends.
	send(t, coll, 64)
	r.SetDeadline(time.Now().Add(5 * time.Millisecond))
	if rec, err := r.Read(); err != nil || rec.RawSample[0] != 64 {
		t.Fatal(rec, err)
	}
	if _, err := r.Read(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
}

func TestPauseAndOverwrite(t *testing.T) {
	coll := sender(t)
	r, err := perf.NewReaderWithOptions(coll.Maps["events"], 4096, perf.ReaderOptions{Overwritable: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Read(); err == nil {
		t.Fatal("read while programs may overwrite")
	}
	const many = 4096/16 + 100 // more than there is room for: 16 bytes each
	for i := range many {
		if got := send(t, coll, 60+i%100); got != 0 {
			t.Fatalf("sample %d gave %d", i, got)
		}
	}
	if err := r.Pause(); err != nil {
		t.Fatal(err)
	}
	const enoent = -2
	if got := send(t, coll, 60); got != enoent {
		t.Fatalf("while paused the helper gave %d", got)
	}
	rec, err := r.Read()
	if err != nil || rec.RawSample[0] != byte(60+(many-1)%100) {
		t.Fatalf("the newest sample is %v, %v", rec, err)
	}
	if err := r.Resume(); err != nil {
		t.Fatal(err)
	}
	if got := send(t, coll, 60); got != 0 {
		t.Fatalf("after Resume the helper gave %d", got)
	}
	for _, opts := range []perf.ReaderOptions{{WakeupEvents: 1, Watermark: 1}, {Watermark: 4096}} {
		if _, err := perf.NewReaderWithOptions(coll.Maps["events"], 4096, opts); err == nil {
			t.Errorf("%+v was taken", opts)
		}
	}
}
