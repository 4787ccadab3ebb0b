package helper

import (
	"math"
	"time"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/maps"
)

// Flags of bpf_timer_start.
const (
	timerAbs    = 1 << 0
	timerCPUPin = 1 << 1
)

// The clocks of timers. They differ when a system sleeps or its time is set, which
// a machine's clock does not know of: all are the one of Env.Now.
const (
	clockRealtime  = 0
	clockMonotonic = 1
	clockBoottime  = 7
)

func init() {
	register(
		&Helper{ID: 169, Name: "bpf_timer_init", Func: timerInit, Args: []Arg{ArgPtrToTimer, ArgConstMapPtr, ArgAnything}},
		&Helper{ID: 170, Name: "bpf_timer_set_callback", Func: timerSetCallback, Args: []Arg{ArgPtrToTimer, ArgPtrToFunc}},
		&Helper{ID: 171, Name: "bpf_timer_start", Func: timerStart, Args: []Arg{ArgPtrToTimer, ArgAnything, ArgAnything}},
		&Helper{ID: 172, Name: "bpf_timer_cancel", Func: timerCancel, Args: []Arg{ArgPtrToTimer}},
	)
	callback := []Arg{ArgPtrToWorkqueue, ArgPtrToFunc, ArgAnything, ArgAnything}
	registerKfuncs("6.10",
		&Helper{Name: "bpf_wq_init", Func: wqInit, Args: []Arg{ArgPtrToWorkqueue, ArgConstMapPtr, ArgAnything}},
		&Helper{Name: "bpf_wq_set_callback_impl", Func: wqSetCallback, Args: callback},
		&Helper{Name: "bpf_wq_set_callback", Func: wqSetCallback, Args: callback[:3], Since: "7.1"},
		&Helper{Name: "bpf_wq_start", Func: wqStart, Args: []Arg{ArgPtrToWorkqueue, ArgAnything}},
	)
	work := []Arg{ArgPtrToBTF, ArgPtrToTaskWork, ArgConstMapPtr, ArgPtrToFunc}
	for _, when := range []string{"signal", "resume"} {
		name := "bpf_task_work_schedule_" + when
		registerKfuncs("6.18", &Helper{Name: name + "_impl", Func: taskWorkSchedule, Asks: asksTasks, Args: append(work[:4:4], ArgAnything)})
		registerKfuncs("7.0", &Helper{Name: name, Func: taskWorkSchedule, Asks: asksTasks, Args: work})
	}
	registerKfuncs("7.0", &Helper{Name: "bpf_timer_cancel_async", Func: timerCancelAsync, Args: []Arg{ArgPtrToTimer}})
}

func timerInit(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	switch r3 {
	case clockRealtime, clockMonotonic, clockBoottime:
		return initTimer(s, maps.FieldTimer, r1, r2)
	}
	return errno.EINVAL.Ret()
}

func initTimer(s *exec.State, kind maps.FieldKind, field, handle uint64) uint64 {
	m := mapOf(handle)
	if m == nil {
		return errno.EINVAL.Ret()
	}
	return status(s.Env.Timers.Init(kind, uintptr(field), m))
}

func timerSetCallback(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	return status(exec.SetCallback(uintptr(r1), s.Engine.Func(uint32(r2))))
}

// timerStart arms a timer in r2 nanoseconds, or at that time. Each call of a timer
// is made by the CPU whose run finds it due, so that there is no CPU to pin to.
func timerStart(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	if r3&^(timerAbs|timerCPUPin) != 0 {
		return errno.EINVAL.Ret()
	}
	when := uint64(0)
	if r3&timerAbs == 0 {
		when = uint64(s.Env.Now())
	}
	if when += r2; when < r2 || when >= math.MaxInt64 {
		when = math.MaxInt64 - 1
	}
	return status(exec.Start(uintptr(r1), time.Duration(when)))
}

func timerCancel(_ *exec.State, r1, _, _, _, _ uint64) uint64 {
	active, err := exec.Cancel(uintptr(r1))
	if err != nil {
		return status(err)
	}
	return truth(active)
}

// timerCancelAsync does not wait for the timer's function, and leaves the timer what
// it calls.
func timerCancelAsync(_ *exec.State, r1, _, _, _, _ uint64) uint64 {
	active, err := exec.Stop(uintptr(r1))
	switch {
	case err == errno.EDEADLK: // it runs
		return result32(-1)
	case err != nil:
		return uint64(uint32(status(err)))
	}
	return truth(active)
}

func wqInit(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	if uint32(r3) != 0 {
		return errno.EINVAL.Ret()
	}
	return initTimer(s, maps.FieldWorkqueue, r1, r2)
}

func wqSetCallback(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
	if uint32(r3) != 0 {
		return errno.EINVAL.Ret()
	}
	return status(exec.SetCallback(uintptr(r1), s.Engine.Func(uint32(r2))))
}

// taskWorkSchedule has a function called before a task goes on, which here is as soon
// as the run is over.
func taskWorkSchedule(s *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
	m := mapOf(r3)
	if taskAt(s, r1) == nil || m == nil {
		return result32(negative(errno.EBADF))
	}
	err := s.Env.Timers.Schedule(maps.FieldTaskWork, uintptr(r2), m, s.Engine.Func(uint32(r4)), s.Env.Now())
	return uint64(uint32(status(err)))
}

// wqStart has the work done as soon as the run is over.
func wqStart(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	if uint32(r2) != 0 {
		return errno.EINVAL.Ret()
	}
	return status(exec.Start(uintptr(r1), s.Env.Now()))
}
