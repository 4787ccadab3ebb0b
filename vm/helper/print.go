package helper

import (
	"bytes"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
)

const (
	maxMessage = 1024 // bytes of one bpf_trace_printk message (MAX_BPRINTF_BUF)
	maxVarargs = 12   // MAX_BPRINTF_VARARGS
)

func init() {
	register(
		&Helper{ID: 6, Name: "bpf_trace_printk", Func: tracePrintk,
			Args: []Arg{ArgPtrToMem, ArgConstSize, ArgAnything, ArgAnything, ArgAnything}},
		&Helper{ID: 165, Name: "bpf_snprintf", Func: snprintf,
			Args: []Arg{ArgPtrToUninitMemOrNull, ArgConstSizeOrZero, ArgPtrToConstStr, ArgPtrToMemOrNull, ArgConstSizeOrZero}},
		&Helper{ID: 177, Name: "bpf_trace_vprintk", Func: traceVprintk,
			Args: []Arg{ArgPtrToMem, ArgConstSize, ArgPtrToMemOrNull, ArgConstSizeOrZero}},
	)
}

func tracePrintk(s *exec.State, r1, r2, r3, r4, r5 uint64) uint64 {
	return printMessage(s, view(r1, uint64(uint32(r2))), []uint64{r3, r4, r5})
}

func traceVprintk(s *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
	var args [maxVarargs]uint64
	n, err := varargs(&args, r3, uint32(r4))
	if err != 0 {
		return err.Ret()
	}
	return printMessage(s, view(r1, uint64(uint32(r2))), args[:n])
}

// printMessage hands one message to the environment and gives its length.
func printMessage(s *exec.State, format []byte, args []uint64) uint64 {
	end := bytes.IndexByte(format, 0)
	if end < 0 {
		return errno.EINVAL.Ret()
	}
	format = format[:end]
	if err := checkFormat(format, len(args)); err != 0 {
		return err.Ret()
	}
	var buf [maxMessage]byte
	p := printer{s: s, buf: buf[:]}
	if err := p.format(format, args); err != 0 {
		return err.Ret()
	}
	s.Env.Printk(string(bytes.TrimSuffix(p.text(), []byte("\n"))))
	return uint64(p.n)
}

func snprintf(s *exec.State, r1, r2, r3, r4, r5 uint64) uint64 {
	var args [maxVarargs]uint64
	n, err := varargs(&args, r4, uint32(r5))
	if err != 0 {
		return err.Ret()
	}
	format := cString(view(r3, uint64(s.Readable(uintptr(r3)))))
	if err := checkFormat(format, n); err != 0 {
		return err.Ret()
	}
	// The buffer stays as it is where the arguments are too long.
	measure := printer{s: s}
	if err := measure.format(format, args[:n]); err != 0 {
		return err.Ret()
	}
	p := printer{s: s, buf: view(r1, uint64(uint32(r2)))}
	p.format(format, args[:n])
	p.text()
	return uint64(p.n) + 1
}

// varargs copies an array of arguments and gives their number.
func varargs(args *[maxVarargs]uint64, addr uint64, size uint32) (n int, err errno.Errno) {
	if size%8 != 0 || size > maxVarargs*8 || size != 0 && addr == 0 {
		return 0, errno.EINVAL
	}
	n = int(size / 8)
	for i := range n {
		args[i] = *at[uint64](addr + 8*uint64(i))
	}
	return n, 0
}
