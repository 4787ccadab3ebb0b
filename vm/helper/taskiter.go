package helper

import (
	"slices"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
)

// Open-coded iterators over what the environment knows of tasks and cgroups. An
// iterator keeps where it is in its own words on the stack.

func init() {
	const tasksAndCgroups = "processes and cgroups"
	registerKfuncs("6.7", slices.Concat(
		iterator("bpf_iter_task", SlotIterTask, asksTasks, iterTaskNew, iterTaskNext, ArgPtrToBTFOrNull, ArgAnything),
		iterator("bpf_iter_css", SlotIterCSS, asksCgroups, iterCSSNew, iterCSSNext, ArgPtrToBTF, ArgAnything),
		iterator("bpf_iter_css_task", SlotIterCSSTask, tasksAndCgroups, iterCSSTaskNew, iterCSSTaskNext, ArgPtrToBTF, ArgAnything),
		iterator("bpf_iter_task_vma", SlotIterVMA, asksTasks, iterVMANew, iterVMANext, ArgPtrToBTF, ArgAnything),
	)...)
}

// iterator is the three functions of an iterator over kernel structures.
func iterator(name string, slot Slot, asks string, begin, next Func, args ...Arg) []*Helper {
	destroy := func(_ *exec.State, r1, _, _, _, _ uint64) uint64 {
		clear(view(r1, uint64(slot.Size())))
		return 0
	}
	return []*Helper{
		{Name: name + "_new", Func: begin, Slot: slot, Flags: Acquire, Asks: asks,
			Args: append([]Arg{ArgPtrToUninitSlot}, args...)},
		{Name: name + "_next", Func: next, Slot: slot, Flags: RetNull, Ret: RetPtrToObject, Asks: asks,
			Args: []Arg{ArgPtrToSlot}},
		{Name: name + "_destroy", Func: destroy, Slot: slot, Flags: Release, Ret: RetVoid, Asks: asks,
			Args: []Arg{ArgPtrToReleasedSlot}},
	}
}

// allTasks are the tasks that the environment knows of.
func allTasks(s *exec.State) []*exec.Task {
	if s.Env.Tasks == nil {
		return nil
	}
	return s.Env.Tasks.All()
}

// taskFrom is the index of the first task from i on that is one of those wanted,
// or -1.
func taskFrom(all []*exec.Task, i int, wanted func(*exec.Task) bool) int {
	for ; i < len(all); i++ {
		if wanted(all[i]) {
			return i
		}
	}
	return -1
}

// iterTask gives the task at next, and then those behind it.
type iterTask struct {
	next  uint64 // address of a task; 0: the end
	_     uint64
	flags uint32
	_     uint32
}

// Flags of bpf_iter_task_new.
const (
	iterAllProcs    = 0
	iterAllThreads  = 1
	iterProcThreads = 2
)

func isProcess(t *exec.Task) bool { return t.PID == t.TGID }

func anyTask(*exec.Task) bool { return true }

func iterTaskNew(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	it, flags := at[iterTask](r1), uint32(r3)
	*it = iterTask{}
	switch {
	case flags > iterProcThreads, flags == iterProcThreads && r2 == 0:
		return errno.EINVAL.Ret()
	case flags == iterProcThreads:
		it.next = r2
	default:
		all := allTasks(s)
		if i := taskFrom(all, 0, isProcess); i >= 0 {
			it.next = all[i].Addr
		}
	}
	it.flags = flags
	return 0
}

func iterTaskNext(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	it := at[iterTask](r1)
	given := it.next
	if given == 0 {
		return 0
	}
	it.next = 0
	wanted := anyTask
	switch t := taskAt(s, given); {
	case it.flags == iterAllProcs:
		wanted = isProcess
	case it.flags == iterProcThreads && t != nil:
		wanted = func(other *exec.Task) bool { return other.TGID == t.TGID }
	}
	all := allTasks(s)
	if i := slices.IndexFunc(all, func(t *exec.Task) bool { return t.Addr == given }); i >= 0 {
		if i = taskFrom(all, i+1, wanted); i >= 0 {
			it.next = all[i].Addr
		}
	}
	return givesStruct(s, given)
}

// iterCSS is at a cgroup in the order that its flags say.
type iterCSS struct {
	start uint64 // id of a cgroup
	pos   uint64 // the last one given; 0: none
	flags uint32
	_     uint32
}

// The orders (enum bpf_cgroup_iter_order).
const (
	cgroupsPre  = 2
	cgroupsPost = 3
	cgroupsUp   = 4
)

func iterCSSNew(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	it, flags := at[iterCSS](r1), uint32(r3)
	*it = iterCSS{}
	switch flags {
	case cgroupsPre, cgroupsPost, cgroupsUp:
		*it = iterCSS{start: cgroupAt(s, r2), flags: flags}
		return 0
	}
	return errno.EINVAL.Ret()
}

func iterCSSNext(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	it := at[iterCSS](r1)
	if it.start == 0 {
		return 0
	}
	order := cgroupsInOrder(s.Env.Cgroups, it.start, it.flags)
	i := 0
	if it.pos != 0 {
		i = slices.Index(order, it.pos) + 1
	}
	it.pos = 0
	if i < len(order) {
		it.pos = order[i]
	}
	return givesCgroup(s, it.pos)
}

// cgroupsInOrder gives the cgroups that an iterator visits.
func cgroupsInOrder(c exec.Cgroups, start uint64, order uint32) []uint64 {
	const most, deepest = 1 << 16, 1 << 10 // end what leads in a circle
	var all []uint64
	var visit func(id uint64, depth int)
	visit = func(id uint64, depth int) {
		if len(all) >= most || depth == deepest {
			return
		}
		if order != cgroupsPost {
			all = append(all, id)
		}
		if order == cgroupsUp {
			if parent, ok := c.Parent(id); ok && parent != 0 {
				visit(parent, depth+1)
			}
			return
		}
		for _, child := range c.Children(id) {
			visit(child, depth+1)
		}
		if order == cgroupsPost {
			all = append(all, id)
		}
	}
	visit(start, 0)
	return all
}

// iterCSSTask gives the tasks of one cgroup.
type iterCSSTask struct {
	next  uint32 // number of the next task among all, from 1; 0: the end
	flags uint32
}

// Flags of bpf_iter_css_task_new.
const (
	cssTaskProcs    = 1 // CSS_TASK_ITER_PROCS
	cssTaskThreaded = 2 // CSS_TASK_ITER_THREADED
)

func iterCSSTaskNew(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	it, flags := at[iterCSSTask](r1), uint32(r3)
	*it = iterCSSTask{}
	switch flags {
	case 0, cssTaskProcs, cssTaskProcs | cssTaskThreaded:
	default:
		return errno.EINVAL.Ret()
	}
	it.flags = flags
	if id := cgroupAt(s, r2); id != 0 {
		it.find(allTasks(s), 0, id)
	}
	return 0
}

// find makes the iterator's next task the first one of a cgroup from i on.
func (it *iterCSSTask) find(all []*exec.Task, i int, cgroup uint64) {
	it.next = uint32(1 + taskFrom(all, i, func(t *exec.Task) bool {
		return t.Cgroup == cgroup && (it.flags&cssTaskProcs == 0 || isProcess(t))
	}))
}

func iterCSSTaskNext(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	it, all := at[iterCSSTask](r1), allTasks(s)
	if it.next == 0 || int(it.next) > len(all) {
		return 0
	}
	given := all[it.next-1]
	it.find(all, int(it.next), given.Cgroup)
	return givesStruct(s, given.Addr)
}

// iterVMA gives the mappings of one task's memory.
type iterVMA struct {
	task uint32 // number of the task among all, from 1; 0: none
	next uint32 // index of its next mapping
}

func iterVMANew(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	it, all := at[iterVMA](r1), allTasks(s)
	*it = iterVMA{}
	i := slices.IndexFunc(all, func(t *exec.Task) bool { return t.Addr == r2 })
	if i < 0 || len(all[i].Areas) == 0 {
		return errno.ENOENT.Ret()
	}
	it.task = uint32(i) + 1
	for _, a := range all[i].Areas {
		if a.End > r3 {
			break
		}
		it.next++
	}
	return 0
}

func iterVMANext(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	it, all := at[iterVMA](r1), allTasks(s)
	if it.task == 0 || int(it.task) > len(all) {
		return 0
	}
	areas := all[it.task-1].Areas
	if int(it.next) >= len(areas) {
		return 0
	}
	it.next++
	return givesStruct(s, areas[it.next-1].Addr)
}
