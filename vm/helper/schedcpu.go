package helper

import (
	"bytes"

	"github.com/skep-ebpf/skep/internal/errno"
	"github.com/skep-ebpf/skep/internal/mem"
	"github.com/skep-ebpf/skep/vm/exec"
	"github.com/skep-ebpf/skep/vm/object"
	"github.com/skep-ebpf/skep/vm/sched"
)

// CPUs: which are idle, which one a task takes, what runs there; and how a
// scheduler ends itself.

func init() {
	p, n, mask := ArgPtrToBTF, ArgAnything, ArgPtrToObject
	flag := ArgPtrToFixedMem // a bool
	isIdle := func(s *exec.State, cpu int) bool { one, _ := s.Env.Sched.Idle(cpu); return one }
	isCoreIdle := func(s *exec.State, cpu int) bool { _, core := s.Env.Sched.Idle(cpu); return core }
	every := func(*exec.State, int) bool { return true }
	lend := func(name string, has func(*exec.State, int) bool, args ...Arg) *Helper {
		return &Helper{Name: name, Func: givesMask(has), Flags: Acquire, Ret: RetPtrToObject, Asks: asksCPUs, Args: args}
	}
	back := func(name string) *Helper {
		return &Helper{Name: name, Func: dropObject, Flags: Release, Ret: RetVoid, Asks: asksCPUs, Args: []Arg{ArgPtrToOwned}}
	}
	number := func(name string, v func(s *exec.State, cpu int32) uint32, args ...Arg) *Helper {
		return onCPUs(name, func(s *exec.State, r1, _, _, _, _ uint64) uint64 { return uint64(v(s, int32(r1))) }, RetInteger, args...)
	}
	registerKfuncs("6.12", only(kfuncsSchedRun,
		onTasks(Helper{Name: "scx_bpf_select_cpu_dfl", FixedSize: 1, Args: []Arg{p, n, n, flag}}, selectCPU))...)
	registerKfuncs("6.16", only(kfuncsSchedRun,
		onTasks(Helper{Name: "scx_bpf_select_cpu_and", Args: []Arg{p, n, n, mask, n}}, selectCPUAnd))...)
	registerKfuncs("6.19", only(kfuncsSchedRun,
		onTasks(Helper{Name: "__scx_bpf_select_cpu_and", FixedSize: 24, Args: []Arg{p, mask, ArgPtrToFixedMem}}, selectCPUArgs))...)
	registerKfuncs("6.12", only(kfuncsSchedAny,
		lend("scx_bpf_get_idle_cpumask", isIdle), lend("scx_bpf_get_idle_smtmask", isCoreIdle), back("scx_bpf_put_idle_cpumask"),
		lend("scx_bpf_get_possible_cpumask", every), lend("scx_bpf_get_online_cpumask", every), back("scx_bpf_put_cpumask"),
		onCPUs("scx_bpf_test_and_clear_cpu_idle", func(s *exec.State, r1, _, _, _, _ uint64) uint64 {
			return truth(s.Env.Sched.Claim(int32(r1)))
		}, RetInteger, n),
		onCPUs("scx_bpf_pick_idle_cpu", func(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
			return signed32(s.Env.Sched.Pick(allowedBy(s, r1), r2))
		}, RetInteger, mask, n),
		onCPUs("scx_bpf_pick_any_cpu", func(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
			return signed32(s.Env.Sched.PickAny(allowedBy(s, r1), r2))
		}, RetInteger, mask, n),
		onCPUs("scx_bpf_kick_cpu", kickCPU, RetVoid, n, n),
		onTasks(Helper{Name: "scx_bpf_task_running", Args: []Arg{p}}, func(f *taskFields) Func {
			return func(s *exec.State, r1, _, _, _, _ uint64) uint64 {
				t := f.task(s, r1)
				return truth(t != nil && s.Env.Sched.Running(t))
			}
		}),
		onTasks(Helper{Name: "scx_bpf_task_cpu", Args: []Arg{p}}, func(f *taskFields) Func {
			return func(s *exec.State, r1, _, _, _, _ uint64) uint64 {
				if t := f.task(s, r1); t != nil {
					return uint64(t.CPU)
				}
				return 0
			}
		}),
		number("scx_bpf_nr_cpu_ids", func(s *exec.State, _ int32) uint32 { return uint32(s.Env.Sched.CPUs()) }),
		number("scx_bpf_cpuperf_cap", func(*exec.State, int32) uint32 { return 1024 }, n), // all CPUs are alike
		number("scx_bpf_cpuperf_cur", func(s *exec.State, cpu int32) uint32 { return s.Env.Sched.Perf(cpu) }, n),
		onCPUs("scx_bpf_cpuperf_set", setPerf, RetVoid, n, n),
		onCPUs("scx_bpf_exit_bstr", func(s *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
			return quit(s, "scx_bpf_exit", "SCX_EXIT_UNREG_BPF", int64(r1), r2, r3, uint32(r4))
		}, RetVoid, n, n, ArgPtrToMemOrNull, ArgConstSizeOrZero),
		onCPUs("scx_bpf_error_bstr", func(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
			return quit(s, "scx_bpf_error", "SCX_EXIT_ERROR_BPF", 0, r1, r2, uint32(r3))
		}, RetVoid, n, ArgPtrToMemOrNull, ArgConstSizeOrZero),
		onCPUs("scx_bpf_dump_bstr", func(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
			if text, err := formatted(s, r1, r2, uint32(r3)); err == 0 {
				s.Seq = append(s.Seq, text...)
			}
			return 0
		}, RetVoid, n, ArgPtrToMemOrNull, ArgConstSizeOrZero),
	)...)
	registerKfuncs("6.14", only(kfuncsSchedAny, onCPUs("scx_bpf_now", ktime, RetInteger))...)
	registerKfuncs("6.15", only(kfuncsSchedAny,
		number("scx_bpf_nr_node_ids", func(*exec.State, int32) uint32 { return 1 }),
		number("scx_bpf_cpu_node", func(*exec.State, int32) uint32 { return 0 }, n),
		onCPUs("scx_bpf_events", func(_ *exec.State, r1, r2, _, _, _ uint64) uint64 { clear(view(r1, r2)); return 0 }, RetVoid,
			ArgPtrToUninitMem, ArgConstSize), // which count what does not happen here
	)...)
	registerKfuncs("6.18", only(kfuncsSchedAny,
		&Helper{Name: "scx_bpf_cpu_curr", Flags: RetNull, Ret: RetPtrToObject, Args: []Arg{n}, Asks: asksCPUs,
			Func: func(s *exec.State, r1, _, _, _, _ uint64) uint64 { return givesQueued(s, s.Env.Sched.Curr(int32(r1))) }},
	)...)
	registerKfuncs("6.19", only(kfuncsSchedAny,
		onTasks(Helper{Name: "scx_bpf_task_set_slice", Args: []Arg{p, n}}, func(f *taskFields) Func {
			return func(s *exec.State, r1, r2, _, _, _ uint64) uint64 { f.set(s, r1, f.slice, r2); return 1 }
		}),
		onTasks(Helper{Name: "scx_bpf_task_set_dsq_vtime", Args: []Arg{p, n}}, func(f *taskFields) Func {
			return func(s *exec.State, r1, r2, _, _, _ uint64) uint64 { f.set(s, r1, f.vtime, r2); return 1 }
		}),
	)...)
}

// allowedBy reports which CPUs a mask has.
func allowedBy(s *exec.State, mask uint64) func(int) bool {
	env := s.Env
	return func(cpu int) bool { return inMask(env, mask, cpu) }
}

// selectCPU is Linux's choice, and where no CPU is idle the one before.
func selectCPU(f *taskFields) Func {
	return func(s *exec.State, r1, r2, r3, r4, _ uint64) uint64 {
		cpu := choose(s, f, r1, int32(r2), r3, nil, 0)
		*at[uint8](r4) = uint8(truth(cpu >= 0))
		if cpu < 0 {
			cpu = int32(r2)
		}
		return signed32(cpu)
	}
}

func selectCPUAnd(f *taskFields) Func {
	return func(s *exec.State, r1, r2, r3, r4, r5 uint64) uint64 {
		return signed32(choose(s, f, r1, int32(r2), r3, allowedBy(s, r4), r5))
	}
}

// selectCPUArgs takes the numbers from a structure.
func selectCPUArgs(f *taskFields) Func {
	return func(s *exec.State, r1, r2, r3, _, _ uint64) uint64 {
		a := *at[[3]uint64](r3)
		return signed32(choose(s, f, r1, int32(a[0]), a[1], allowedBy(s, r2), a[2]))
	}
}

func choose(s *exec.State, f *taskFields, addr uint64, prev int32, wake uint64, allowed func(int) bool, flags uint64) int32 {
	t := f.task(s, addr)
	if t == nil {
		return -int32(errno.EINVAL)
	}
	return s.Env.Sched.Select(t, prev, wake, s.CPU%s.Env.Sched.CPUs(), allowed, flags)
}

// givesMask lends a mask of the CPUs that are so: as they are now.
func givesMask(has func(s *exec.State, cpu int) bool) Func {
	return func(s *exec.State, _, _, _, _, _ uint64) uint64 {
		addr := object.New(&maskLayout)
		if addr == 0 {
			return 0
		}
		b := mem.View(addr, (cpuIDs(s)+63)/64*8)
		for cpu := range cpuIDs(s) {
			if has(s, cpu) {
				b[cpu/8] |= 1 << (cpu % 8)
			}
		}
		return gives(s, addr)
	}
}

func kickCPU(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	s.Env.Sched.Kick(int32(r1), r2)
	did(s, "scx_bpf_kick_cpu", "%d, flags 0x%x", int32(r1), r2)
	return 0
}

func setPerf(s *exec.State, r1, r2, _, _, _ uint64) uint64 {
	s.Env.Sched.SetPerf(int32(r1), uint32(r2))
	did(s, "scx_bpf_cpuperf_set", "%d, %d", int32(r1), uint32(r2))
	return 0
}

// quit ends the scheduler with a message.
func quit(s *exec.State, name, kind string, code int64, format, args uint64, size uint32) uint64 {
	text, err := formatted(s, format, args, size)
	if err != 0 {
		s.Env.Sched.Quit(sched.ExitError, 0, "the message of "+name+" cannot be formatted")
		return 0
	}
	s.Env.Sched.Quit(kind, code, string(text))
	did(s, name, "%q", text)
	return 0
}

// formatted is a text made of a format and an array of words.
func formatted(s *exec.State, format, args uint64, size uint32) ([]byte, errno.Errno) {
	var words [maxVarargs]uint64
	n, err := varargs(&words, args, size)
	if err != 0 {
		return nil, err
	}
	f := cString(view(format, uint64(s.Readable(uintptr(format)))))
	if err := checkFormat(f, n); err != 0 {
		return nil, err
	}
	p := printer{s: s, buf: make([]byte, maxMessage)}
	if err := p.format(f, words[:n]); err != 0 {
		return nil, err
	}
	return bytes.Clone(p.text()), 0
}
