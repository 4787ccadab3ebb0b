package kernel

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

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
		return &deniedError{fmt.Sprintf("kernel.perf_event_paranoid is %d here, which leaves perf events to CAP_SYS_ADMIN: run skep with sudo, or lower it (sudo sysctl kernel.perf_event_paranoid=2)", perfParanoid()), err}
	}
	return &deniedError{forbidden(err), err}
}

// lacking says which capabilities are missing where Linux refused something, its verifier
// too; nil where that is not why.
func lacking(refused error, needs []Need) error {
	var said *ebpf.VerifierError
	if !errors.Is(refused, fs.ErrPermission) && !errors.As(refused, &said) {
		return nil
	}
	if sentence := missing(needs, effective()); sentence != "" {
		return &deniedError{sentence, refused}
	}
	return nil
}

// deniedError is a sentence in place of an error's.
type deniedError struct {
	sentence string
	err      error
}

func (e *deniedError) Error() string { return e.sentence }
func (e *deniedError) Unwrap() error { return e.err }

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
