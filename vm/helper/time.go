package helper

import (
	"github.com/skep-ebpf/skep/vm/exec"
)

const hz = exec.Hz

func init() {
	register(
		&Helper{ID: 5, Name: "bpf_ktime_get_ns", Func: ktime},
		&Helper{ID: 7, Name: "bpf_get_prandom_u32", Func: random},
		&Helper{ID: 118, Name: "bpf_jiffies64", Func: jiffies},
		&Helper{ID: 125, Name: "bpf_ktime_get_boot_ns", Func: ktime},
		&Helper{ID: 160, Name: "bpf_ktime_get_coarse_ns", Func: ktimeCoarse},
		&Helper{ID: 208, Name: "bpf_ktime_get_tai_ns", Func: wallTime},
	)
}

func ktime(s *exec.State, _, _, _, _, _ uint64) uint64 { return uint64(s.Env.Now()) }

// ktimeCoarse is the time of the last timer tick.
func ktimeCoarse(s *exec.State, _, _, _, _, _ uint64) uint64 {
	now := uint64(s.Env.Now())
	return now - now%(1e9/hz)
}

// jiffies counts ticks from five minutes before the counter's lower half
// overflows, as Linux does to show what cannot bear it.
func jiffies(s *exec.State, _, _, _, _, _ uint64) uint64 {
	const initial = 1<<32 - 300*hz
	return initial + uint64(s.Env.Now())/(1e9/hz)
}

// wallTime is the time since the epoch: TAI on a host that was not told of leap
// seconds, as most are not.
func wallTime(s *exec.State, _, _, _, _, _ uint64) uint64 { return uint64(s.Env.Wall().UnixNano()) }

func random(s *exec.State, _, _, _, _, _ uint64) uint64 { return uint64(s.Env.Rand()) }
