package helper

import (
	"strings"

	"github.com/skep-ebpf/skep/vm/exec"
)

// Operation is what goes on around a program that is an operation of a structure. It
// is called when the program begins, with the words of its context, and gives what
// is called when it ends, with its result.
type Operation func(s *exec.State, ctx []uint64) (end func(ret uint64))

// OperationOf gives what goes on around the operation "struct:member"; nil: nothing.
func OperationOf(member string, types Types) Operation {
	ops, name, _ := strings.Cut(member, ":")
	switch ops {
	case "sched_ext_ops":
		f, err := taskFieldsOf(types)
		if err != nil {
			return nil // and there is no function that looks into tasks
		}
		return (&schedOperation{name, f}).begin
	case "hid_bpf_ops":
		return reportOperation
	}
	return nil
}
