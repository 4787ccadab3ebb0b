package helper

import (
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/maps"

	"github.com/skep-ebpf/skep/internal/errno"
)

func init() {
	register(&Helper{ID: 37, Name: "bpf_current_task_under_cgroup", Func: taskUnderCgroup,
		Args: []Arg{ArgConstMapPtr, ArgAnything}})
}

// taskUnderCgroup tells whether the current task is in a cgroup of an array, or
// in one below it.
func taskUnderCgroup(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	m, ok := mapOf(r1).(*maps.CgroupArray)
	if !ok {
		return errno.EINVAL.Ret()
	}
	id, err := m.Cgroup(uint32(r2))
	if err != nil {
		return status(err)
	}
	if s.Env.Tasks == nil {
		return 0
	}
	t := s.Env.Tasks.Current()
	return truth(t != nil && under(s.Env.Cgroups, t.Cgroup, id))
}

// under reports whether a cgroup is another, or below it.
func under(c exec.Cgroups, id, above uint64) bool {
	const deepest = 1 << 10 // ends what leads in a circle
	for range deepest {
		switch {
		case id == above:
			return true
		case id == 0 || c == nil:
			return false
		}
		parent, ok := c.Parent(id)
		if !ok {
			return false
		}
		id = parent
	}
	return false
}
