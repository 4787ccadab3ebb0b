package helper

import (
	"fmt"
	"strings"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
)

func init() {
	vprintk := []Arg{ArgAnything, ArgPtrToConstStr, ArgPtrToMemOrNull, ArgConstSizeOrZero}
	registerKfuncs("6.17", &Helper{Name: "bpf_stream_vprintk", Func: streamVprintk, Args: vprintk})
	registerKfuncs("6.18", &Helper{Name: "bpf_stream_vprintk_impl", Func: streamVprintk, Args: vprintk})
	registerKfuncs("7.0", &Helper{Name: "bpf_stream_print_stack", Func: streamPrintStack, Asks: asksTasks, Args: []Arg{ArgAnything}})
}

// hasStream reports whether a number is that of a program's stream.
func hasStream(number uint64) bool {
	n := exec.Stream(uint32(number))
	return n == exec.Stdout || n == exec.Stderr
}

// streamVprintk writes a text to one of the program's streams.
func streamVprintk(s *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
	if !hasStream(r1) {
		return result32(negative(errno.ENOENT))
	}
	var args [maxVarargs]uint64
	n, err := varargs(&args, r3, uint32(r4))
	if err != 0 {
		return result32(negative(err))
	}
	format := cString(view(r2, uint64(s.Readable(uintptr(r2)))))
	if err := checkFormat(format, n); err != 0 {
		return result32(negative(err))
	}
	var buf [maxMessage]byte
	p := printer{s: s, buf: buf[:]}
	if err := p.format(format, args[:n]); err != 0 {
		return result32(negative(err))
	}
	if p.n > maxMessage {
		return result32(negative(errno.ENOMEM))
	}
	s.Env.Stream(exec.Stream(uint32(r1)), string(p.text()))
	return 0
}

// streamPrintStack writes who runs the program, and what called it.
func streamPrintStack(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	if !hasStream(r1) {
		return result32(negative(errno.ENOENT))
	}
	t := current(s)
	if t == nil {
		t = new(exec.Task)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "CPU: %d UID: %d PID: %d Comm: %s\nCall trace:\n", s.CPU, t.UID, t.PID, t.Comm)
	for _, ip := range t.KernelStack {
		fmt.Fprintf(&text, "%#x\n", ip)
	}
	text.WriteString("\n")
	s.Env.Stream(exec.Stream(uint32(r1)), text.String())
	return 0
}
