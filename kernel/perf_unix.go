//go:build unix

package kernel

import (
	"errors"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/perf"
	"golang.org/x/sys/unix"
)

// perfRing is the size of each CPU's ring of a perf event array, in bytes.
const perfRing = 1 << 20

type perfReader struct {
	*perf.Reader
	record perf.Record
}

func newPerfReader(m *ebpf.Map) (reader, error) {
	r, err := perf.NewReader(m, perfRing)
	if err != nil && strings.HasSuffix(err.Error(), unix.EACCES.Error()) {
		err = unix.EACCES // which it does not wrap
	}
	return &perfReader{Reader: r}, err
}

func (r *perfReader) read(out *Record) (uint64, error) {
	err := r.ReadInto(&r.record)
	if errors.Is(err, perf.ErrFlushed) {
		err = errFlushed
	}
	out.Data, out.CPU = r.record.RawSample, r.record.CPU
	return r.record.LostSamples, err
}
