package kernel

import (
	"errors"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
)

// ofThisProcess has the counting program of an object count this process's calls
// alone.
func ofThisProcess(p *program.Program) *program.Program {
	count := p.Spec.Programs["count"]
	count.Instructions = append(asm.Instructions{
		asm.FnGetCurrentPidTgid.Call(),
		asm.RSh.Imm(asm.R0, 32),
		asm.JEq.Imm(asm.R0, int32(os.Getpid()), "mine"),
		asm.Mov.Imm(asm.R0, 0),
		asm.Return(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("mine"),
	}, count.Instructions...)
	return p
}

// ownMounts has what this goroutine mounts be its own.
func ownMounts(t *testing.T) {
	t.Helper()
	runtime.LockOSThread() // and never back: the thread ends with the goroutine, and what it mounted with it
	err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS)
	if err == nil {
		err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	}
	if err != nil {
		t.Skipf("no mounts of the test's own: %v", err)
	}
}

// TestTracing attaches where a system call of this process comes by.
func TestTracing(t *testing.T) {
	testenv.Kernel(t)
	for _, tc := range []struct {
		at     string
		typ    ebpf.ProgramType
		attach ebpf.AttachType
	}{
		{"tracepoint/syscalls/sys_enter_getpgid", ebpf.TracePoint, 0},
		{"raw_tp/sys_enter", ebpf.RawTracepoint, 0},
		{"tp_btf/sys_enter", ebpf.Tracing, ebpf.AttachTraceRawTp},
		{"fentry/__x64_sys_getpgid", ebpf.Tracing, ebpf.AttachTraceFEntry},
		{"fexit/__x64_sys_getpgid", ebpf.Tracing, ebpf.AttachTraceFExit},
	} {
		t.Run(tc.at, func(t *testing.T) {
			_, target, _ := strings.Cut(tc.at, "/")
			p := ofThisProcess(counting(tc.at, tc.typ, tc.attach, target, 0))
			if tc.typ != ebpf.Tracing {
				p.Spec.Programs["count"].AttachTo = ""
			}
			hits := attached(t, p, tc.at)
			before := hits()
			_, _ = unix.Getpgid(0)
			if hits() == before {
				t.Error("the program did not run")
			}
		})
	}
}

// TestOverriding has programs decide what a system call of this process gives, where
// Linux asks them.
func TestOverriding(t *testing.T) {
	testenv.Kernel(t)
	for _, tc := range []struct {
		at     string
		typ    ebpf.ProgramType
		attach ebpf.AttachType
	}{
		{"fmod_ret/security_task_getpgid", ebpf.Tracing, ebpf.AttachModifyReturn},
		{"lsm/task_getpgid", ebpf.LSM, ebpf.AttachLSMMac},
	} {
		t.Run(tc.at, func(t *testing.T) {
			_, target, _ := strings.Cut(tc.at, "/")
			p := ofThisProcess(counting(tc.at, tc.typ, tc.attach, target, -int32(unix.EACCES)))
			hits := attached(t, p, tc.at)
			if _, err := unix.Getpgid(os.Getpid()); !errors.Is(err, unix.EACCES) {
				t.Errorf("the call gives %v, want %v", err, unix.EACCES)
			}
			if n := hits(); n != 1 {
				t.Errorf("the program ran %d times for one call", n)
			}
		})
	}
}

// TestRawTracepointWritable has a program change what the kernel goes on with: the error
// of a test run.
func TestRawTracepointWritable(t *testing.T) {
	testenv.Kernel(t)
	const at = "raw_tracepoint.w/bpf_test_finish"
	t.Run(at, func(t *testing.T) {
		p := counting(at, ebpf.RawTracepointWritable, 0, "", 0)
		count := p.Spec.Programs["count"]
		count.Instructions = append(asm.Instructions{
			asm.LoadMem(asm.R6, asm.R1, 0, asm.DWord), // int *err
			asm.FnGetCurrentPidTgid.Call(),
			asm.RSh.Imm(asm.R0, 32),
			asm.JEq.Imm(asm.R0, int32(os.Getpid()), "mine"),
			asm.Mov.Imm(asm.R0, 0),
			asm.Return(),
			asm.StoreImm(asm.R6, 0, -int64(unix.EUCLEAN), asm.Word).WithSymbol("mine"),
		}, count.Instructions...)
		hits := attached(t, p, at)
		xdp, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}})
		if err != nil {
			t.Fatal(err)
		}
		defer xdp.Close()
		if _, err := xdp.Run(&ebpf.RunOptions{Data: make([]byte, 64)}); !errors.Is(err, unix.EUCLEAN) {
			t.Errorf("the test run ends with %v, want %v", err, unix.EUCLEAN)
		}
		if n := hits(); n != 1 {
			t.Errorf("the program ran %d times for one test run", n)
		}
	})
}

// TestIter reads what an iterator over all programs writes.
func TestIter(t *testing.T) {
	testenv.Kernel(t)
	t.Run("iter/bpf_prog", testIter)
}

func testIter(t *testing.T) {
	p := counting("iter/bpf_prog", ebpf.Tracing, ebpf.AttachTraceIter, "bpf_prog", 0)
	c, err := Load(p, &Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	at, err := hook.Of(p.Spec.Programs["count"])
	if err != nil {
		t.Fatal(err)
	}
	links, err := c.Attach([]hook.Attachment{{Program: "count", Point: at}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := links[0].Output()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadAll(r); err != nil {
		t.Fatal(err)
	}
	var n uint64
	if err := c.Maps["hits"].Lookup(uint32(0), &n); err != nil || n == 0 {
		t.Errorf("the iterator ran %d times, %v", n, err)
	}
}

// What a program is loaded for or attached to, and is not there, is named, with what
// is near.
func TestUnknownTargets(t *testing.T) {
	testenv.Kernel(t)
	for _, tc := range []struct {
		section string
		typ     ebpf.ProgramType
		attach  ebpf.AttachType
		want    string
	}{
		{"tp_btf/sched_swich", ebpf.Tracing, ebpf.AttachTraceRawTp, "the kernel has no tracepoint sched_swich; did you mean sched_switch?"},
		{"fentry/tcp_connet", ebpf.Tracing, ebpf.AttachTraceFEntry, "the kernel has no function tcp_connet; did you mean tcp_connect?"},
		{"iter/taks", ebpf.Tracing, ebpf.AttachTraceIter, "the kernel has no iterator taks; did you mean task?"},
		{"tracepoint/sched/sched_swich", ebpf.TracePoint, 0, "the kernel has no tracepoint sched/sched_swich; did you mean sched_switch?"},
		{"tracepoint/schd/sched_switch", ebpf.TracePoint, 0, "the kernel has no tracepoints of category schd; did you mean sched?"},
		{"raw_tp/sched_swich", ebpf.RawTracepoint, 0, "the kernel has no tracepoint sched_swich; did you mean sched_switch?"},
		{"raw_tp.w/bpf_test_finnish", ebpf.RawTracepointWritable, 0, "the kernel has no tracepoint bpf_test_finnish; did you mean bpf_test_finish?"},
		{"lsm/file_opne", ebpf.LSM, ebpf.AttachLSMMac, "the kernel has no security hook file_opne; did you mean file_open?"},
		{"fexit/tcp_connet", ebpf.Tracing, ebpf.AttachTraceFExit, "the kernel has no function tcp_connet; did you mean tcp_connect?"},
		{"fmod_ret/security_file_opne", ebpf.Tracing, ebpf.AttachModifyReturn, "the kernel has no function security_file_opne; did you mean security_file_open?"},
		{"kprobe/vfs_unlinkk", ebpf.Kprobe, 0, "the kernel has no function vfs_unlinkk; did you mean vfs_unlink?"},
		{"kretprobe/tcp_connect+8", ebpf.Kprobe, 0, "a function returns as a whole: leave the offset away"},
		{"ksyscall/getpgidd", ebpf.Kprobe, 0, "the kernel has no system call getpgidd; did you mean getpgid?"},
	} {
		_, target, _ := strings.Cut(tc.section, "/")
		p := counting(tc.section, tc.typ, tc.attach, "", 0)
		if tc.typ == ebpf.Tracing || tc.typ == ebpf.LSM {
			p.Spec.Programs["count"].AttachTo = target
		}
		c, err := Load(p, &Options{})
		if err == nil {
			var at hook.Point
			if at, err = hook.Of(c.Spec.Programs["count"]); err != nil {
				t.Fatal(err)
			}
			_, err = c.Attach([]hook.Attachment{{Program: "count", Point: at}})
			c.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want an error with %q", tc.section, err, tc.want)
		}
	}
}

// TestProbes attaches to the kernel's functions and to functions of this process.
func TestProbes(t *testing.T) {
	testenv.Kernel(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	function := self + ":github.com/skep-ebpf/skep/kernel.probed"
	for _, tc := range []struct {
		at     string
		attach ebpf.AttachType
	}{
		{"kprobe/__x64_sys_getpgid", 0},
		{"kprobe/__x64_sys_getpgid+0", 0},
		{"kretprobe/__x64_sys_getpgid", 0},
		{"ksyscall/getpgid", 0},
		{"kretsyscall/getpgid", 0},
		{"kprobe.multi/__x64_sys_getpgi*", ebpf.AttachTraceKprobeMulti},
		{"kretprobe.multi/__x64_sys_getpgi*", ebpf.AttachTraceKprobeMulti},
		{"kprobe.session/__x64_sys_getpgi*", ebpf.AttachTraceKprobeSession},
		{"uprobe/" + function, 0},
		{"uprobe/" + function + ",pid=" + strconv.Itoa(os.Getpid()), 0},
		{"uretprobe/" + function, 0},
		{"uprobe.multi/" + self + ":*/kernel.probe?", ebpf.AttachTraceUprobeMulti},
		{"uretprobe.multi/" + self + ":*/kernel.probe?", ebpf.AttachTraceUprobeMulti},
	} {
		t.Run(tc.at, func(t *testing.T) {
			hits := attached(t, ofThisProcess(counting(tc.at, ebpf.Kprobe, tc.attach, "", 0)), tc.at)
			before := hits()
			_, _ = unix.Getpgid(0)
			probed()
			if hits() == before {
				t.Error("the program did not run")
			}
		})
	}
}

// probed is a function to probe.
//
//go:noinline
func probed() {}

// A point that is chosen in place of the section's is looked at like it.
func TestUnknownChosenTarget(t *testing.T) {
	testenv.Kernel(t)
	at, err := hook.Parse("fentry/tcp_connet")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Load(counting("kprobe/tcp_connect", ebpf.Kprobe, 0, "", 0), &Options{At: []hook.Attachment{{Program: "count", Point: at}}})
	if want := "the kernel has no function tcp_connet; did you mean tcp_connect?"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want an error with %q", err, want)
	}
}
