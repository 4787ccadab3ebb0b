package helper

import (
	"strings"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
)

// A cgroup that the environment tells of stays, as a task does. Its struct
// cgroup_subsys_state is the first member of its struct cgroup, so that both have
// one address.
func init() {
	given := func(h Helper) *Helper {
		h.Flags, h.Ret, h.Asks = Acquire|RetNull, RetPtrToObject, asksCgroups
		return &h
	}
	registerKfuncs("6.2", only(kfuncsGeneric,
		given(Helper{Name: "bpf_cgroup_acquire", Func: cgroupAcquire, Args: []Arg{ArgPtrToBTF}}),
		&Helper{Name: "bpf_cgroup_release", Func: noop, Flags: Release, Ret: RetVoid, Asks: asksCgroups,
			Args: []Arg{ArgPtrToOwned}},
		given(Helper{Name: "bpf_cgroup_ancestor", Func: cgroupAncestor, Args: []Arg{ArgPtrToBTF, ArgAnything}}),
	)...)
	registerKfuncs("6.3", only(kfuncsGeneric,
		given(Helper{Name: "bpf_cgroup_from_id", Func: cgroupFromID, Args: []Arg{ArgAnything}}),
	)...)
	registerKfuncs("6.5", only(kfuncsGeneric,
		&Helper{Name: "bpf_task_under_cgroup", Func: taskUnderCgroupAt, Asks: asksCgroups,
			Args: []Arg{ArgPtrToBTF, ArgPtrToBTF}},
	)...)
	registerKfuncs("6.8", only(kfuncsGeneric,
		given(Helper{Name: "bpf_task_get_cgroup1", Func: noop, Args: []Arg{ArgPtrToBTF, ArgAnything}}), // no hierarchy of version 1
	)...)
	// Nothing is counted per CPU here, and so is summed up.
	for name, since := range map[string]string{"css_rstat": "6.16", "cgroup_rstat": "6.1"} {
		registerKfuncs(since, only(kfuncsTracing,
			&Helper{Name: name + "_updated", Func: noop, Ret: RetVoid, Args: []Arg{ArgPtrToBTF, ArgAnything}},
			&Helper{Name: name + "_flush", Func: noop, Ret: RetVoid, Args: []Arg{ArgPtrToBTF}},
		)...)
	}
	registerKfuncs("6.17",
		&Helper{Name: "bpf_cgroup_read_xattr", Func: cgroupXattr, Asks: asksCgroups,
			Args: []Arg{ArgPtrToBTF, ArgPtrToConstStr, ArgPtrToSlot}},
	)
}

// cgroupAt is the id of the cgroup whose structure begins at an address, or 0.
func cgroupAt(s *exec.State, addr uint64) uint64 {
	if s.Env.Cgroups == nil {
		return 0
	}
	return s.Env.Cgroups.At(addr)
}

// givesCgroup gives the address of a cgroup's structure, 0 for no cgroup.
func givesCgroup(s *exec.State, id uint64) uint64 {
	if id == 0 || s.Env.Cgroups == nil {
		return 0
	}
	if _, ok := s.Env.Cgroups.Parent(id); !ok {
		return 0
	}
	return givesStruct(s, s.Env.Cgroups.Addr(id))
}

// givesStruct gives the address of a kernel structure, which need not be an
// object of the environment's.
func givesStruct(s *exec.State, addr uint64) uint64 {
	s.RetProv = s.Env.Objects.Prov(addr)
	return addr
}

func cgroupAcquire(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	return givesCgroup(s, cgroupAt(s, r1))
}

func cgroupAncestor(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	return givesCgroup(s, exec.Ancestor(s.Env.Cgroups, cgroupAt(s, r1), int(int32(r2))))
}

func cgroupFromID(s *exec.State, r1, _, _, _, _ uint64) uint64 { return givesCgroup(s, r1) }

// taskUnderCgroupAt reports whether a task's cgroup is another or below it.
func taskUnderCgroupAt(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	t, above := taskAt(s, r1), cgroupAt(s, r2)
	if t == nil || above == 0 {
		return 0
	}
	return truth(isUnder(s, t.Cgroup, above))
}

// cgroupXattr copies an extended attribute, of which programs see those of users,
// into a dynptr and gives its length.
func cgroupXattr(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	name, err := stringAt(s, r2)
	if err != 0 {
		return err.Ret()
	}
	d := dynptrAt(r3)
	to := d.writable(s, 0, d.len())
	switch key := string(cString(name)); {
	case !strings.HasPrefix(key, "user."):
		return errno.EPERM.Ret()
	case to == 0:
		return errno.EINVAL.Ret()
	default:
		return copyXattr(s, cgroupAt(s, r1), key, view(uint64(to), uint64(d.len())))
	}
}

func copyXattr(s *exec.State, id uint64, key string, to []byte) uint64 {
	if id == 0 {
		return errno.ENODATA.Ret()
	}
	switch value, ok := s.Env.Cgroups.Xattr(id, key); {
	case !ok:
		return errno.ENODATA.Ret()
	case len(value) > len(to):
		return errno.ERANGE.Ret()
	default:
		return uint64(copy(to, value))
	}
}
