package helper

import (
	"github.com/cilium/ebpf"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/maps"
	"github.com/skep-ebpf/skep/vm/progtype"
)

const asksCgroups = "cgroups"

func init() {
	register(
		&Helper{ID: 33, Name: "bpf_skb_under_cgroup", Func: skbUnderCgroup, Asks: asksCgroups,
			Args: []Arg{ArgPtrToCtx, ArgConstMapPtr, ArgAnything}},
		&Helper{ID: 37, Name: "bpf_current_task_under_cgroup", Func: taskUnderCgroup, Asks: asksCgroups,
			Args: []Arg{ArgConstMapPtr, ArgAnything}},
		&Helper{ID: 79, Name: "bpf_skb_cgroup_id", Func: skbCgroupID, Asks: asksCgroups, Args: []Arg{ArgPtrToCtx}},
		&Helper{ID: 80, Name: "bpf_get_current_cgroup_id", Func: currentCgroupID, Asks: asksCgroups},
		&Helper{ID: 83, Name: "bpf_skb_ancestor_cgroup_id", Func: skbAncestorID, Asks: asksCgroups,
			Args: []Arg{ArgPtrToCtx, ArgAnything}},
		&Helper{ID: 123, Name: "bpf_get_current_ancestor_cgroup_id", Func: currentAncestorID, Asks: asksCgroups, Args: []Arg{ArgAnything}},
		&Helper{ID: 128, Name: "bpf_sk_cgroup_id", Func: sockCgroupID, Asks: asksCgroups, Args: []Arg{ArgPtrToSocket}},
		&Helper{ID: 129, Name: "bpf_sk_ancestor_cgroup_id", Func: sockAncestorID, Asks: asksCgroups,
			Args: []Arg{ArgPtrToSocket, ArgAnything}},
		&Helper{ID: 151, Name: "bpf_skb_cgroup_classid", Func: skbClassID, Asks: asksCgroups, Args: []Arg{ArgPtrToCtx}},
		&Helper{ID: 186, Name: "bpf_get_retval", Func: getRetval},
		&Helper{ID: 187, Name: "bpf_set_retval", Func: setRetval, Args: []Arg{ArgAnything}},
	)
}

// under reports, as 0 or 1, whether a cgroup is the one at an index of a map, or
// below it.
func under(s *exec.State, id, m, index uint64) uint64 {
	array, ok := mapOf(m).(*maps.CgroupArray)
	if !ok {
		return errno.EINVAL.Ret()
	}
	above, err := array.Cgroup(uint32(index))
	if err != nil {
		return status(err)
	}
	return truth(isUnder(s, id, above))
}

// isUnder reports whether a cgroup is another or below it.
func isUnder(s *exec.State, id, above uint64) bool {
	const deepest = 1 << 10 // ends what leads in a circle
	for n := 0; id != 0 && n < deepest; n++ {
		if id == above {
			return true
		}
		if s.Env.Cgroups == nil {
			break
		}
		var ok bool
		if id, ok = s.Env.Cgroups.Parent(id); !ok {
			break
		}
	}
	return false
}

// fullSocket is the context's socket, or nil where it has none or not a whole one.
func fullSocket(s *exec.State) *exec.Socket {
	if k := socketOf(s, uint64(s.Ctx())); k != nil && k.Full() {
		return k
	}
	return nil
}

func skbUnderCgroup(s *exec.State, _, r2, r3, _, _ uint64) uint64 {
	k := fullSocket(s)
	if k == nil {
		return errno.ENOENT.Ret()
	}
	return under(s, k.Cgroup, r2, r3)
}

func taskUnderCgroup(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	t := current(s)
	if t == nil {
		return errno.EINVAL.Ret()
	}
	return under(s, t.Cgroup, r1, r2)
}

func skbCgroupID(s *exec.State, _, _, _, _, _ uint64) uint64 {
	if k := fullSocket(s); k != nil {
		return k.Cgroup
	}
	return 0
}

func skbClassID(s *exec.State, _, _, _, _, _ uint64) uint64 {
	if k := fullSocket(s); k != nil {
		return uint64(k.ClassID)
	}
	return 0
}

func skbAncestorID(s *exec.State, _, r2, _, _, _ uint64) uint64 {
	return exec.Ancestor(s.Env.Cgroups, skbCgroupID(s, 0, 0, 0, 0, 0), int(int32(r2)))
}

func currentCgroupID(s *exec.State, _, _, _, _, _ uint64) uint64 {
	if t := current(s); t != nil {
		return t.Cgroup
	}
	return 0
}

func currentAncestorID(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	return exec.Ancestor(s.Env.Cgroups, currentCgroupID(s, 0, 0, 0, 0, 0), int(int32(r1)))
}

func sockCgroupID(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	if k := socketOf(s, r1); k != nil && k.Full() {
		return k.Cgroup
	}
	return 0
}

func sockAncestorID(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	return exec.Ancestor(s.Env.Cgroups, sockCgroupID(s, r1, 0, 0, 0, 0), int(int32(r2)))
}

// retval is what the system call returns if programs do not say otherwise: of an option,
// the context's field.
func retval(s *exec.State) int32 {
	if s.Packet.Type == ebpf.CGroupSockopt {
		return int32(le.Uint32(progtype.Seen(s)[progtype.SockoptRetval:]))
	}
	return s.Trace.Retval
}

func getRetval(s *exec.State, _, _, _, _, _ uint64) uint64 { return uint64(int64(retval(s))) }

func setRetval(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	v := int32(r1)
	if s.Packet.Type == ebpf.CGroupSockopt {
		le.PutUint32(progtype.Seen(s)[progtype.SockoptRetval:], uint32(v))
	}
	s.Trace.Retval = v
	s.Act("set_retval", uint64(int64(v)))
	return 0
}
