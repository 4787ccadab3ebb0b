package kernels

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// kind is a kind of programs that the running kernel is asked about.
type kind struct {
	prog      ebpf.ProgramType
	attach    ebpf.AttachType
	target    btf.TypeID // what it would be attached to, where it needs something
	member    uint32     // which of the target's members it would be, for struct_ops
	sleepable bool
	licence   string
	ret       uint32 // what it returns
}

// String is the kind as the tables write it: "tracing/trace_iter", and whether
// it may sleep.
func (k kind) String() string {
	s := ProgName(k.prog)
	if k.attach != 0 {
		s += "/" + AttachName(k.attach)
	}
	if k.sleepable {
		s += "+sleepable"
	}
	return s
}

// target is a function or type of the kernel to attach to, by a kind's need: any
// will do, since nothing is attached.
func target(prog ebpf.ProgramType, attach ebpf.AttachType) string {
	switch {
	case prog == ebpf.StructOps:
		return "tcp_congestion_ops"
	case attach == ebpf.AttachTraceRawTp:
		return "btf_trace_task_newtask"
	case attach == ebpf.AttachTraceIter:
		return "bpf_iter_task"
	case attach == ebpf.AttachModifyReturn:
		return "bpf_modify_return_test"
	case attach == ebpf.AttachLSMMac:
		return "bpf_lsm_bpf"
	case attach == ebpf.AttachLSMCgroup:
		return "bpf_lsm_socket_post_create"
	case prog == ebpf.Tracing && attach != 0:
		return "bpf_fentry_test1"
	}
	return ""
}

// targetID is the number of a target's type: a function's, where other types
// have its name too.
func targetID(types *btf.Spec, name string) (btf.TypeID, error) {
	var function *btf.Func
	if err := types.TypeByName(name, &function); err == nil {
		return types.TypeID(function)
	}
	t, err := types.AnyTypeByName(name)
	if err != nil {
		return 0, err
	}
	return types.TypeID(t)
}

// prepare completes a kind of programs such that the running kernel takes it, or
// gives the reason why it does not. Few kinds need a licence, so that it shows
// which helpers do, and few a result other than 0.
func (k *kind) prepare(types *btf.Spec) error {
	if name := target(k.prog, k.attach); name != "" {
		var err error
		if k.target, err = targetID(types, name); err != nil {
			return fmt.Errorf("find %s in the kernel's types: %w", name, err)
		}
	}
	if k.prog == ebpf.StructOps {
		k.member = congestionInit(types)
	}
	var refused error
	for _, k.licence = range []string{"proprietary", "GPL"} {
		for k.ret = range uint32(2) {
			log, err := load(*k, nil)
			if err == nil {
				return nil
			}
			if refused = err; log != "" {
				refused = fmt.Errorf("%w: %s", err, strings.TrimSpace(log))
			}
		}
	}
	return refused
}

// congestionInit is the number of the member of a TCP congestion control that is
// its init.
func congestionInit(types *btf.Spec) uint32 {
	var ops *btf.Struct
	if err := types.TypeByName("tcp_congestion_ops", &ops); err != nil {
		return 0
	}
	i := slices.IndexFunc(ops.Members, func(m btf.Member) bool { return m.Name == "init" })
	return uint32(max(i, 0))
}

// call asks whether programs of a kind may call a helper, and whether only those
// under the GPL. The helper's arguments are not as it wants them, so the answer
// is what the verifier says first.
func (k kind) call(id uint32) (offered, gpl bool) {
	log, err := load(k, []uint64{0x85 | uint64(id)<<32})
	if err == nil {
		return true, false
	}
	if containsAny(log, "unknown func", "invalid func", "cannot use helper") {
		return false, false
	}
	return true, strings.Contains(log, "GPL-restricted") || strings.Contains(log, "GPL only")
}

// callKfunc asks whether programs of a kind may call the kernel function with a
// number among the kernel's types, all of which are for the GPL.
func (k kind) callKfunc(id btf.TypeID) bool {
	k.licence = "GPL"
	log, err := load(k, []uint64{0x2085 | uint64(id)<<32})
	return err == nil || !containsAny(log, "is not allowed", "cannot find address", "reserved fields")
}

func containsAny(text string, parts ...string) bool {
	return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(text, part) })
}

// kfuncsIn gives the functions that the kernel's types name as callable.
func kfuncsIn(types *btf.Spec) iter.Seq[string] {
	return func(yield func(string) bool) {
		for typ, err := range types.All() {
			if err != nil {
				return
			}
			if f, ok := typ.(*btf.Func); ok && slices.Contains(f.Tags, "bpf_kfunc") && !yield(f.Name) {
				return
			}
		}
	}
}
