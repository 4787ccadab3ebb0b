package helper

import (
	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/sched"
)

// Dispatch queues: tasks come into one, are moved between them, and are looked at.

func init() {
	p, n := ArgPtrToBTF, ArgAnything
	insert := func(name string) *Helper {
		return onTasks(Helper{Name: name, Args: []Arg{p, n, n, n}}, dsqInsert)
	}
	insertVtime := func(name string) *Helper {
		return onTasks(Helper{Name: name, Args: []Arg{p, n, n, n, n}, Ret: RetVoid}, dsqInsertVtime)
	}
	move := func(name string, byTime bool) *Helper {
		return onTasks(Helper{Name: name, Slot: SlotIterDSQ, Args: []Arg{ArgPtrToSlot, p, n, n}}, dsqMove(byTime))
	}
	setOf := func(name string, field func(*iterDSQ) *uint64, bit uint32) *Helper {
		return &Helper{Name: name, Slot: SlotIterDSQ, Args: []Arg{ArgPtrToSlot, n}, Ret: RetVoid, Asks: asksCPUs,
			Func: func(_ *exec.State, r1, r2, _, _, _ uint64) uint64 {
				it := at[iterDSQ](r1)
				*field(it) = r2
				it.flags |= bit
				return 0
			}}
	}
	slice := func(it *iterDSQ) *uint64 { return &it.slice }
	vtime := func(it *iterDSQ) *uint64 { return &it.vtime }

	registerKfuncs("6.12", only(kfuncsSched, insert("scx_bpf_dispatch"), insertVtime("scx_bpf_dispatch_vtime"),
		onCPUs("scx_bpf_dispatch_nr_slots", func(s *exec.State, _, _, _, _, _ uint64) uint64 { return uint64(s.Env.Sched.Slots()) }, RetInteger),
		onCPUs("scx_bpf_dispatch_cancel", dispatchCancel, RetVoid),
		onCPUs("scx_bpf_consume", moveToLocal, RetInteger, n),
		onCPUs("scx_bpf_reenqueue_local", noop, RetInteger), // no higher class of tasks takes a CPU here
	)...)
	registerKfuncs("6.13", only(kfuncsSched, insert("scx_bpf_dsq_insert"), insertVtime("scx_bpf_dsq_insert_vtime"),
		onCPUs("scx_bpf_dsq_move_to_local", moveToLocal, RetInteger, n),
	)...)
	registerKfuncs("6.19", only(kfuncsSched, insert("scx_bpf_dsq_insert___v2"),
		onTasks(Helper{Name: "__scx_bpf_dsq_insert_vtime", FixedSize: 32, Args: []Arg{p, ArgPtrToFixedMem}}, dsqInsertArgs),
	)...)
	registerKfuncs("7.1", only(kfuncsSched,
		onCPUs("scx_bpf_dsq_move_to_local___v2", func(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
			return toLocal(s, r1, r2)
		}, RetInteger, n, n),
	)...)
	registerKfuncs("6.12", only(kfuncsSchedRun,
		onCPUs("scx_bpf_create_dsq", createDSQ, RetInteger, n, n),
		move("scx_bpf_dispatch_from_dsq", false), move("scx_bpf_dispatch_vtime_from_dsq", true),
		setOf("scx_bpf_dispatch_from_dsq_set_slice", slice, iterHasSlice),
		setOf("scx_bpf_dispatch_from_dsq_set_vtime", vtime, iterHasVtime),
	)...)
	registerKfuncs("6.13", only(kfuncsSchedRun,
		move("scx_bpf_dsq_move", false), move("scx_bpf_dsq_move_vtime", true),
		setOf("scx_bpf_dsq_move_set_slice", slice, iterHasSlice), setOf("scx_bpf_dsq_move_set_vtime", vtime, iterHasVtime),
	)...)
	registerKfuncs("6.12", only(kfuncsSchedAny,
		onCPUs("scx_bpf_destroy_dsq", destroyDSQ, RetVoid, n),
		onCPUs("scx_bpf_dsq_nr_queued", func(s *exec.State, r1, _, _, _, _ uint64) uint64 {
			return signed32(s.Env.Sched.Queued(r1, s.CPU))
		}, RetInteger, n),
	)...)
	registerKfuncs("6.12", only(kfuncsSchedAny,
		iterator("bpf_iter_scx_dsq", SlotIterDSQ, asksCPUs, iterDSQNew, iterDSQNext, n, n)...)...)
	registerKfuncs("6.19", only(kfuncsSchedAny,
		&Helper{Name: "scx_bpf_dsq_peek", Flags: RetNull, Ret: RetPtrToObject, Args: []Arg{n}, Asks: asksCPUs,
			Func: func(s *exec.State, r1, _, _, _, _ uint64) uint64 { return givesQueued(s, s.Env.Sched.Peek(r1)) }},
	)...)
}

func dsqInsert(f *taskFields) Func {
	return func(s *exec.State, r1, r2, r3, r4, _ uint64) uint64 { return inserts(s, f, r1, r2, r3, nil, r4) }
}

func dsqInsertVtime(f *taskFields) Func {
	return func(s *exec.State, r1, r2, r3, r4, r5 uint64) uint64 { return inserts(s, f, r1, r2, r3, &r4, r5) }
}

// dsqInsertArgs takes all but the task from a structure of four words.
func dsqInsertArgs(f *taskFields) Func {
	return func(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
		a := *at[[4]uint64](r2)
		return inserts(s, f, r1, a[0], a[1], &a[2], a[3])
	}
}

// inserts asks for a task to be put into a queue, and gives it its slice.
func inserts(s *exec.State, f *taskFields, addr, dsq, slice uint64, vtime *uint64, flags uint64) uint64 {
	t := f.task(s, addr)
	if t == nil {
		s.Env.Sched.Quit(sched.ExitError, 0, "called with NULL task")
		return 0
	}
	ok := s.Env.Sched.Insert(t, dsq, vtime, flags)
	if vtime == nil {
		did(s, "scx_bpf_dsq_insert", "%s, %s, %s, flags 0x%x", t, sched.Name(dsq), sliceName(slice), flags)
	} else {
		did(s, "scx_bpf_dsq_insert_vtime", "%s, %s, %s, vtime %d, flags 0x%x", t, sched.Name(dsq), sliceName(slice), *vtime, flags)
	}
	if !ok {
		return 0
	}
	f.refill(s, addr, slice)
	if vtime != nil {
		f.set(s, addr, f.vtime, *vtime)
	}
	return 1
}

func dispatchCancel(s *exec.State, _, _, _, _, _ uint64) uint64 {
	s.Env.Sched.Cancel()
	did(s, "scx_bpf_dispatch_cancel", " ")
	return 0
}

func moveToLocal(s *exec.State, r1, _, _, _, _ uint64) uint64 { return toLocal(s, r1, 0) }

func toLocal(s *exec.State, dsq, flags uint64) uint64 {
	moved := s.Env.Sched.MoveToLocal(dsq, flags)
	did(s, "scx_bpf_dsq_move_to_local", "%s: %t", sched.Name(dsq), moved)
	return truth(moved)
}

func createDSQ(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	ret := s.Env.Sched.Create(r1, int32(r2))
	did(s, "scx_bpf_create_dsq", "%s: %d", sched.Name(r1), ret)
	return signed32(ret)
}

func destroyDSQ(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	s.Env.Sched.Destroy(r1)
	did(s, "scx_bpf_destroy_dsq", "%s", sched.Name(r1))
	return 0
}

// iterDSQ is where an iterator over a queue is. A task that leaves the queue does
// not disturb it, one that comes in later is not seen.
type iterDSQ struct {
	dsq, last    uint64 // address of the task that was given last
	upto         uint64 // the youngest task's number when it began
	index, flags uint32
	slice, vtime uint64 // what the next task that is moved gets
}

// Flags of an iterator: the user's, and what it has.
const (
	iterReverse  = 1 << 16 // SCX_DSQ_ITER_REV
	iterHasSlice = 1 << 30
	iterHasVtime = 1 << 31
	iterReady    = 1
)

func iterDSQNew(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	it := at[iterDSQ](r1)
	*it = iterDSQ{}
	tasks, ok := s.Env.Sched.Tasks(r2, s.CPU)
	switch {
	case r3&^iterReverse != 0:
		return result32(negative(errno.EINVAL))
	case !ok || r2 == sched.Global || r2 == sched.Local:
		return result32(negative(errno.ENOENT))
	}
	*it = iterDSQ{dsq: r2, flags: uint32(r3) | iterReady}
	for _, t := range tasks {
		it.upto = max(it.upto, t.Arrival())
	}
	return 0
}

func iterDSQNext(s *exec.State, r1, _, _, _, _ uint64) uint64 {
	it := at[iterDSQ](r1)
	if it.flags&iterReady == 0 {
		return 0
	}
	tasks, _ := s.Env.Sched.Tasks(it.dsq, s.CPU)
	n := uint32(len(tasks))
	nth := func(i uint32) *sched.Task {
		if it.flags&iterReverse != 0 {
			i = n - 1 - i
		}
		return tasks[i]
	}
	if it.index < n && it.last != 0 && nth(it.index).Addr == it.last {
		it.index++
	}
	for ; it.index < n; it.index++ {
		if t := nth(it.index); t.Arrival() <= it.upto {
			it.last = t.Addr
			return givesQueued(s, t)
		}
	}
	return 0
}

// dsqMove moves a task of an iterator's queue to another queue.
func dsqMove(byTime bool) func(*taskFields) Func {
	return func(f *taskFields) Func {
		return func(s *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
			it, t := at[iterDSQ](r1), f.task(s, r2)
			if it.flags&iterReady == 0 || t == nil {
				return 0
			}
			vtime := it.vtime
			if b := f.memory(s, r2); b != nil && it.flags&iterHasVtime == 0 {
				vtime = f.vtime.Get(b)
			}
			var order *uint64
			if byTime {
				order = &vtime
			}
			moved := s.Env.Sched.Move(t, it.dsq, r3, order, r4)
			if moved && it.flags&iterHasSlice != 0 {
				f.set(s, r2, f.slice, it.slice)
			}
			if moved && it.flags&iterHasVtime != 0 {
				f.set(s, r2, f.vtime, vtime)
			}
			it.flags &^= iterHasSlice | iterHasVtime
			did(s, "scx_bpf_dsq_move", "%s, %s to %s, flags 0x%x: %t", t, sched.Name(it.dsq), sched.Name(r3), r4, moved)
			return truth(moved)
		}
	}
}
