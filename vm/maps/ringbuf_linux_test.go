package maps

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/ringbuf"

	"github.com/skep-ebpf/skep/internal/testenv"
)

// TestRingbufLikeTheKernel outputs, queries and reads records in a random order.
func TestRingbufLikeTheKernel(t *testing.T) {
	testenv.Kernel(t)
	spec := goodSpec(ebpf.RingBuf)
	kernel, err := ebpf.NewMap(&spec)
	must(t, err)
	defer kernel.Close()
	reader, err := ringbuf.NewReader(kernel)
	must(t, err)
	defer reader.Close()
	a := newActor(t, &spec, kernel.FD())
	defer a.Close()
	ours := ring(t, spec.MaxEntries)

	start := *seed
	if start == 0 {
		start = testenv.Seed(t) >> 32
	}
	r := rand.New(rand.NewPCG(start, 2))
	waiting := 0
	for i := range 2000 {
		switch r.IntN(5) {
		case 0, 1, 2:
			size := r.IntN(512)
			flags := []uint64{0, 0, 0, 1, 2, 3, 4, 1 << 32}[r.IntN(8)]
			data := randomBytes(r, size)
			want, _, err := a.do(opUpdate, flags, binary.NativeEndian.AppendUint64(nil, uint64(size)), data)
			must(t, err)
			got := -int64(errnoOf(ours.Output(data, flags)))
			if got != want {
				t.Fatalf("seed %d, step %d: output of %d bytes, flags %d: kernel %d, ours %d", start, i, size, flags, want, got)
			}
			if got == 0 {
				waiting++
			}
		case 3:
			what := uint64(r.IntN(5))
			want, _, err := a.do(opLookup, what, nil, nil)
			must(t, err)
			if got := int64(ours.Query(what)); got != want {
				t.Fatalf("seed %d, step %d: query %d: kernel %d, ours %d", start, i, what, want, got)
			}
		case 4:
			if waiting == 0 {
				continue
			}
			waiting--
			reader.SetDeadline(time.Now().Add(time.Second))
			want, err := reader.Read()
			must(t, err)
			got, rest, ok := ours.Next(nil)
			if !ok || string(got) != string(want.RawSample) || rest != want.Remaining {
				t.Fatalf("seed %d, step %d: kernel has %x and %d bytes, ours %x and %d", start, i, want.RawSample, want.Remaining, got, rest)
			}
		}
	}
}
