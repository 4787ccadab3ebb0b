package kernel

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// streamPoll is how often streams are looked at: Linux does not tell when there is
// something in them.
const streamPoll = 100 * time.Millisecond

// streamNames are a program's streams by their numbers (enum bpf_stream_id).
var streamNames = [...]string{1: "stdout", 2: "stderr"}

// Streams reads what programs write to their streams, and what Linux writes there of
// their mistakes, in pieces that need not be lines.
type Streams struct {
	programs []string // that may have written something
	fds      map[string]int
	buf      []byte
	pending  []Record
}

// Streams begins to read what programs write to their streams; nil where none does, or
// Linux is older than 6.17.
func (c *Collection) Streams() (*Streams, error) {
	s := &Streams{fds: make(map[string]int), buf: make([]byte, 64<<10)}
	for _, name := range slices.Sorted(maps.Keys(c.Programs)) {
		if spec := c.Spec.Programs[name]; spec == nil || !writes(spec) {
			continue
		}
		s.programs, s.fds[name] = append(s.programs, name), c.Programs[name].FD()
	}
	if len(s.programs) == 0 {
		return nil, nil
	}
	switch err := s.poll(); {
	case errors.Is(err, ebpf.ErrNotSupported):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return s, nil
}

// writes reports whether a program may write to its streams: by itself, or by locks and
// loops that Linux ends.
func writes(p *ebpf.ProgramSpec) bool {
	return slices.ContainsFunc(p.Instructions, func(ins asm.Instruction) bool {
		switch {
		case ins.IsKfuncCall():
			name := ins.Reference()
			return strings.HasPrefix(name, "bpf_stream_") || strings.HasPrefix(name, "bpf_res_spin_lock")
		case ins.OpCode.Class().IsJump():
			const mayGoto = 14 // BPF_JCOND
			return ins.OpCode.JumpOp()>>4 == mayGoto
		}
		return false
	})
}

// poll reads what there is.
func (s *Streams) poll() error {
	for _, name := range s.programs {
		for id := 1; id < len(streamNames); id++ {
			for {
				n, err := readStream(s.fds[name], id, s.buf)
				if err != nil {
					return err
				}
				if n == 0 {
					break
				}
				s.pending = append(s.pending, Record{Data: slices.Clone(s.buf[:n]), CPU: -1, Program: name, Stream: streamNames[id]})
			}
		}
	}
	return nil
}

// Read is that of [Events].
func (s *Streams) Read(ctx context.Context, r *Record) error {
	for len(s.pending) == 0 {
		ended := ctx.Err() != nil
		if err := s.poll(); err != nil {
			return err
		}
		switch {
		case len(s.pending) > 0:
		case ended:
			return context.Cause(ctx)
		default:
			select {
			case <-time.After(streamPoll):
			case <-ctx.Done():
			}
		}
	}
	*r, s.pending = s.pending[0], s.pending[1:]
	return nil
}

// Lost is that of [Events]: Linux counts nothing, but tells the program that its stream
// is full.
func (*Streams) Lost() (uint64, error) { return 0, nil }

// Close is that of [Events].
func (*Streams) Close() error { return nil }
