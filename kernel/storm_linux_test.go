package kernel

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"testing"

	"github.com/cilium/ebpf"
)

// TestStorm sends records from several CPUs as fast as they go, first while they are read
// and then while nobody reads: those that come and those that are lost are those that were
// sent. Those of perf event arrays come in the order of their times, and each CPU's in the
// order in which it sent them through either.
func TestStorm(t *testing.T) {
	const (
		senders = 2
		length  = 1000 // records a run
	)
	for _, tc := range []struct {
		program, name string
		runs          uint32
	}{
		{"through_ring", "ring", 250},
		{"through_samples", "samples", 40}, // Linux wakes the reader for each
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := loadEvents(t, tc.program)
			e, err := c.Events(tc.name)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := e.Close(); err != nil {
					t.Error(err)
				}
			}()
			send := func() {
				var sending sync.WaitGroup
				for range senders {
					sending.Go(func() {
						in := ebpf.RunOptions{Data: make([]byte, length), Repeat: tc.runs}
						if _, err := c.Programs[tc.program].Run(&in); err != nil {
							t.Error(err)
						}
					})
				}
				sending.Wait()
			}
			ctx, done := context.WithCancel(t.Context())
			var came uint64
			var reading sync.WaitGroup
			reading.Go(func() { came = inOrder(ctx, t, e) })
			send()
			done()
			reading.Wait()
			send()
			came += inOrder(ctx, t, e)

			var sent uint64
			if err := c.Variables["sent"].Get(&sent); err != nil {
				t.Fatal(err)
			}
			total := 2 * senders * length * uint64(tc.runs)
			lost, err := e.Lost()
			if err != nil || sent != total || came+lost != sent || came == 0 || lost == 0 {
				t.Errorf("of %d records, which should be %d, %d came and %d were lost, %v", sent, total, came, lost, err)
			}
			t.Logf("%d records came and %d were lost", came, lost)
		})
	}
}

// inOrder reads records until ctx ends, and wants them in order.
func inOrder(ctx context.Context, t *testing.T, e *Events) (came uint64) {
	var last int64
	sent := make(map[uint64]uint64) // when the last one of a CPU was
	perf, _ := e.reader.(*perfReader)
	var r Record
	for {
		err := e.Read(ctx, &r)
		if errors.Is(err, context.Canceled) {
			return came
		}
		if err != nil {
			t.Error(err)
			return came
		}
		came++
		when, cpu := binary.NativeEndian.Uint64(r.Data), binary.NativeEndian.Uint64(r.Data[8:])
		if when < sent[cpu] {
			t.Errorf("a record of CPU %d comes after one that it sent %d ns later", cpu, sent[cpu]-when)
		}
		sent[cpu] = when
		if perf == nil {
			continue
		}
		if r.CPU != int(cpu) {
			t.Errorf("a record of CPU %d comes as one of CPU %d", cpu, r.CPU)
		}
		time := perf.records[perf.next-1].time
		if time < last {
			t.Errorf("a record comes %d ns too late", last-time)
		}
		last = time
	}
}
