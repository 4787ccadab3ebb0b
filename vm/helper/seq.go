package helper

import (
	"bytes"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
)

// What an iterator writes is gathered in State.Seq.

func init() {
	register(
		&Helper{ID: 126, Name: "bpf_seq_printf", Func: seqPrintf,
			Args: []Arg{ArgPtrToBTF, ArgPtrToMem, ArgConstSize, ArgPtrToMemOrNull, ArgConstSizeOrZero}},
		&Helper{ID: 127, Name: "bpf_seq_write", Func: seqWrite,
			Args: []Arg{ArgPtrToBTF, ArgPtrToMem, ArgConstSizeOrZero}},
	)
}

// maxSeq is how much one run may write, in bytes: Linux's buffer for one object.
const maxSeq = 8 * 4096

func seqWriteBytes(s *exec.State, b []byte) uint64 {
	if len(s.Seq)+len(b) > maxSeq {
		return errno.EOVERFLOW.Ret()
	}
	s.Seq = append(s.Seq, b...)
	return 0
}

func seqWrite(s *exec.State, _, r2, r3, _, _ uint64) uint64 {
	return seqWriteBytes(s, view(r2, uint64(uint32(r3))))
}

func seqPrintf(s *exec.State, _, r2, r3, r4, r5 uint64) uint64 {
	var args [maxVarargs]uint64
	n, err := varargs(&args, r4, uint32(r5))
	if err != 0 {
		return err.Ret()
	}
	format := view(r2, uint64(uint32(r3)))
	end := bytes.IndexByte(format, 0)
	if end < 0 {
		return errno.EINVAL.Ret()
	}
	format = format[:end]
	if err := checkFormat(format, n); err != 0 {
		return err.Ret()
	}
	measure := printer{s: s}
	if err := measure.format(format, args[:n]); err != 0 {
		return err.Ret()
	}
	if measure.n > maxSeq {
		return errno.EOVERFLOW.Ret()
	}
	p := printer{s: s, buf: make([]byte, measure.n+1)}
	p.format(format, args[:n])
	return seqWriteBytes(s, p.text())
}
