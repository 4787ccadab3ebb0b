package maps

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
)

func TestPerfEventArray(t *testing.T) {
	spec := goodSpec(ebpf.PerfEventArray)
	spec.MaxEntries = 3
	m := newMap(t, spec).(*PerfEventArray)
	wantErrno(t, m.Output(0, PerfCurrentCPU, []byte("x"), nil), errno.ENOENT)

	r, err := m.Open(64, PerfOptions{})
	must(t, err)
	wantErrno(t, m.Output(0, 3, []byte("x"), nil), errno.E2BIG)
	wantErrno(t, m.Output(0, 2, []byte("x"), nil), errno.ENOENT) // there is no third CPU
	wantErrno(t, m.Output(0, 1, []byte("x"), nil), errno.EOPNOTSUPP)
	must(t, m.Output(1, PerfCurrentCPU, []byte("ab"), []byte("cd")))
	must(t, m.Output(0, 0, []byte("first"), nil))
	must(t, r.Wait(t.Context()))
	var got []string
	for {
		rec, ok := r.Next(nil, false)
		if !ok {
			break
		}
		got = append(got, fmt.Sprintf("%d:%s", rec.CPU, rec.Sample))
	}
	if want := "[0:first 1:abcd]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %v", got, want)
	}

	r.Pause()
	wantErrno(t, m.Output(0, PerfCurrentCPU, []byte("x"), nil), errno.ENOENT)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := r.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for nothing: %v", err)
	}
}

func TestPerfLost(t *testing.T) {
	m := newMap(t, goodSpec(ebpf.PerfEventArray)).(*PerfEventArray)
	r, err := m.Open(64, PerfOptions{})
	must(t, err)
	defer r.Pause()
	put := func(s string) error { return m.Output(0, PerfCurrentCPU, []byte(s), nil) }
	next := func() string {
		rec, ok := r.Next(nil, false)
		return fmt.Sprintf("%s/%d/%v", rec.Sample, rec.Lost, ok)
	}
	for i := range 4 { // 16 bytes each
		must(t, put(fmt.Sprint(i)))
	}
	wantErrno(t, put("x"), errno.ENOSPC)
	wantErrno(t, put("y"), errno.ENOSPC)
	wantErrno(t, put(string(make([]byte, 100))), errno.ENOSPC)
	var got []string
	got = append(got, next())
	must(t, put("4"))
	wantErrno(t, put("z"), errno.ENOSPC)
	for range 8 {
		got = append(got, next())
	}
	want := "[0/0/true 1/0/true 2/0/true 3/0/true /3/true 4/0/true /1/true /0/false /0/false]"
	if fmt.Sprint(got) != want {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

// Every sample is read or counted as lost.
func TestPerfProducers(t *testing.T) {
	m := newMap(t, goodSpec(ebpf.PerfEventArray)).(*PerfEventArray)
	r, err := m.Open(1<<10, PerfOptions{})
	must(t, err)
	defer r.Pause()
	const producers, each = 4, 5000
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			for i := range uint64(each) {
				// A failure is a sample that the reader gets as lost.
				_ = m.Output(p%2, PerfCurrentCPU, le64(uint64(p)), le64(i))
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var buf []byte
	for total := uint64(0); total < producers*each; {
		rec, ok := r.Next(buf[:0], false)
		switch {
		case !ok:
			if err := r.Wait(ctx); err != nil {
				t.Fatalf("after %d samples: %v", total, err)
			}
		case rec.Lost != 0:
			total += rec.Lost
		case len(rec.Sample) != 16 || binary.NativeEndian.Uint64(rec.Sample)%2 != uint64(rec.CPU):
			t.Fatalf("CPU %d: sample %x", rec.CPU, rec.Sample)
		default:
			buf = rec.Sample
			total++
		}
	}
	wg.Wait()
}
