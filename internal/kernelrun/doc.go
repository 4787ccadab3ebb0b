// Package kernelrun runs raw instructions in the running Linux kernel through
// bpf() and BPF_PROG_TEST_RUN, for tests that take the kernel as their oracle.
//
// It is no loader: instructions go to the kernel byte for byte, which
// cilium/ebpf's asm package would not do. Maps have the user-space methods of
// the machine's own, so that one piece of code reads both.
package kernelrun

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// ErrNotAvailable is what everything gives where there is no Linux to run in.
var ErrNotAvailable = errors.New("programs run in the kernel on Linux only (amd64, arm64)")

// Rejected is a program that the verifier refused.
type Rejected struct {
	Err error
	Log string // the verifier's last words; empty unless asked for
}

func (r *Rejected) Error() string {
	if r.Log == "" {
		return fmt.Sprintf("load program into the kernel: %v", r.Err)
	}
	return fmt.Sprintf("load program into the kernel: %v\n%s", r.Err, r.Log)
}

func (r *Rejected) Unwrap() error { return r.Err }

// Target is what a program will be attached to.
type Target struct {
	Attach ebpf.AttachType
	Type   btf.TypeID // the function or tracepoint among the kernel's types
	Flags  uint32     // BPF_F_SLEEPABLE and the like
}

// RunInput is what one run starts from.
type RunInput struct {
	Data []byte
	Ctx  []byte // may be empty
	// CtxOut is how many bytes of the context to give back.
	CtxOut int
	Repeat uint32
}

// RunOutput is what it left.
type RunOutput struct {
	Ret      uint32
	Data     []byte
	Ctx      []byte
	Duration uint32 // of one run, in nanoseconds
}
