package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"

	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/verifier/kernels"
)

// denied says what a refusal comes from of which Linux says nothing but EPERM: which
// capability is missing for what, or what else may forbid it. Other errors it gives back.
func denied(err error, needs []Need) error {
	if missing := lacking(err, needs); missing != nil {
		return missing
	}
	switch {
	case !errors.Is(err, fs.ErrPermission):
		return err
	case slices.ContainsFunc(needs, func(n Need) bool { return n.Caps&kernels.CapPerfmon != 0 }) &&
		perfParanoid() > 2 && effective()&kernels.CapSysAdmin == 0:
		return &deniedError{sentence: fmt.Sprintf("kernel.perf_event_paranoid is %d here, which leaves perf events to CAP_SYS_ADMIN: run skep with sudo, or lower it (sudo sysctl kernel.perf_event_paranoid=2)", perfParanoid()), lacks: kernels.CapSysAdmin, err: err}
	}
	return &deniedError{sentence: forbidden(err), err: err}
}

// lacking says which capabilities are missing where Linux refused something, its verifier
// too; nil where that is not why.
func lacking(refused error, needs []Need) error {
	var said *ebpf.VerifierError
	if !errors.Is(refused, fs.ErrPermission) && !errors.As(refused, &said) {
		return nil
	}
	if sentence := missing(needs, effective()); sentence != "" {
		var all kernels.Caps
		for _, n := range needs {
			all |= n.Caps
		}
		return &deniedError{sentence: sentence, lacks: all.Without(effective()), err: refused}
	}
	return nil
}

// deniedError is a sentence in place of an error's.
type deniedError struct {
	sentence string
	lacks    kernels.Caps // 0: not known
	err      error
}

func (e *deniedError) Error() string { return e.sentence }
func (e *deniedError) Unwrap() error { return e.err }

// Denied reports whether an error is that the kernel wants privileges, and which ones this
// process lacks, where that is known.
func Denied(err error) (lacks kernels.Caps, denied bool) {
	var e *deniedError
	if errors.As(err, &e) {
		return e.lacks, true
	}
	return 0, errors.Is(err, syscall.EPERM)
}

// missing says what lacks which capability in a process that has some, and what to do; ""
// where nothing does.
func missing(needs []Need, has kernels.Caps) string {
	var parts []string
	var all, lacks kernels.Caps
	for _, n := range needs {
		all |= n.Caps
		if m := n.Caps.Without(has); m&^lacks != 0 {
			parts = append(parts, fmt.Sprintf("%s needs %s", n.For, m))
			lacks |= m
		}
	}
	if lacks == 0 {
		return ""
	}
	return fmt.Sprintf("%s, which this process does not have: run skep with sudo, or give it %s once: sudo setcap %s+ep $(command -v skep)",
		strings.Join(parts, "; "), all, strings.ToLower(strings.Join(all.Names(), ",")))
}
