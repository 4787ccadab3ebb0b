package kernel

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier"
	"github.com/skep-ebpf/skep/verifier/kernels"
)

// object is one XDP program "count".
func object(insns ...asm.Instruction) *program.Program {
	p := counting("xdp", ebpf.XDP, ebpf.AttachXDP, "", 1)
	p.Spec.Programs["count"].Instructions = insns
	return p
}

// refusal loads what the kernel does not take, and gives the verifier's error.
func refusal(t *testing.T, p *program.Program, opts *Options) *verifier.Error {
	t.Helper()
	c, err := Load(p, opts)
	if err == nil {
		c.Close()
		t.Fatal("the kernel takes it")
	}
	var e *verifier.Error
	if !errors.As(err, &e) {
		t.Fatalf("the error is not a verifier's: %v", err)
	}
	return e
}

// A refusal by the kernel's verifier comes with what ours finds, and what the kernel said.
func TestRefused(t *testing.T) {
	testenv.Kernel(t)
	lookup := asm.Instructions{
		asm.Mov.Imm(asm.R1, 0),
		asm.StoreMem(asm.R10, -4, asm.R1, asm.Word),
		asm.Mov.Reg(asm.R2, asm.R10),
		asm.Add.Imm(asm.R2, -4),
		asm.LoadMapPtr(asm.R1, 0).WithReference("hits"),
		asm.FnMapLookupElem.Call(),
		asm.LoadMem(asm.R0, asm.R0, 0, asm.DWord),
		asm.Return(),
	}
	p := object(lookup...)
	p.Spec.Maps["hits"].Type = ebpf.Hash
	var log bytes.Buffer
	e := refusal(t, p, &Options{Log: &log})
	if e.Cause != verifier.CauseMaybeNull || e.Insn != 7 || e.Reg != 0 {
		t.Errorf("cause %s, instruction %d, R%d: %+v", e.Cause, e.Insn, e.Reg, e)
	}
	if want := "R0 invalid mem access 'map_value_or_null'"; e.Kernel != want {
		t.Errorf("Linux says %q, want %q", e.Kernel, want)
	}
	if !strings.Contains(log.String(), e.Kernel) || !strings.Contains(log.String(), "processed 7 insns") {
		t.Errorf("the log is not whole:\n%s", log.String())
	}
}

// The log is also there of what the kernel takes.
func TestLogOfAccepted(t *testing.T) {
	testenv.Kernel(t)
	var log bytes.Buffer
	c, err := Load(counting("xdp", ebpf.XDP, ebpf.AttachXDP, "", 1), &Options{Log: &log})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if text := log.String(); !strings.Contains(text, "program count:\n") || !strings.Contains(text, "processed 5 insns") {
		t.Errorf("the log is %q", text)
	}
}

// What a kernel is too old for is said by the version that it takes.
func TestTooOld(t *testing.T) {
	testenv.Kernel(t)
	for _, tc := range []struct {
		name  string
		since kernels.Version
		p     *program.Program
		want  string
	}{
		{"helper", kernels.V(5, 17), object(
			asm.Mov.Imm(asm.R1, 1), asm.LoadImm(asm.R2, 0, asm.DWord), asm.Mov.Imm(asm.R3, 0), asm.Mov.Imm(asm.R4, 0),
			asm.FnLoop.Call(), asm.Mov.Imm(asm.R0, 1), asm.Return()), "needs Linux 5.17"},
		{"map type", kernels.V(6, 9), func() *program.Program {
			p := counting("xdp", ebpf.XDP, ebpf.AttachXDP, "", 1)
			p.Spec.Maps["hits"] = &ebpf.MapSpec{Name: "hits", Type: ebpf.Arena, MaxEntries: 1, Flags: unix.BPF_F_MMAPABLE}
			return p
		}(), "map hits of type arena: needs Linux 6.9"},
		{"map flag", kernels.V(6, 19), func() *program.Program {
			p := counting("xdp", ebpf.XDP, ebpf.AttachXDP, "", 1)
			p.Spec.Maps["hits"] = &ebpf.MapSpec{Name: "hits", Type: ebpf.RingBuf, MaxEntries: 4096, Flags: 1 << 19} // BPF_F_RB_OVERWRITE
			return p
		}(), "map hits with flags 0x80000: needs Linux 6.19"},
		{"program type", kernels.V(6, 4), counting("netfilter", ebpf.Netfilter, ebpf.AttachNetfilter, "", 1), "program type Netfilter: needs Linux 6.4"},
		{"instruction", kernels.V(6, 6), func() *program.Program {
			p := counting("xdp", ebpf.XDP, ebpf.AttachXDP, "", 1)
			p.Spec.Programs["count"].Instructions = append(asm.Instructions{asm.Mov.Imm(asm.R0, 8), asm.SDiv.Imm(asm.R0, 2)}, p.Spec.Programs["count"].Instructions...)
			return p
		}(), "needs Linux 6.6"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if host, err := kernels.Host(); err != nil || host.Version() >= tc.since {
				t.Skipf("the running kernel has it: it came with %s", tc.since)
			}
			e := refusal(t, tc.p, &Options{})
			if e.Cause != verifier.CauseKernel || !strings.Contains(e.Error(), tc.want) {
				t.Errorf("%v, want %q", e, tc.want)
			}
		})
	}
}

// Before 5.11 maps count as locked memory. What a limit is too low for is loaded, and said
// where the limit cannot be raised.
func TestLockedMemory(t *testing.T) {
	testenv.Kernel(t)
	if !memoryCounts() {
		t.Skip("since Linux 5.11 maps do not count as locked memory")
	}
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &before); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &before) }()
	low := unix.Rlimit{Cur: 4 << 10, Max: 4 << 10}
	lower := func() {
		if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &low); err != nil {
			t.Fatal(err)
		}
	}
	large := counting("xdp", ebpf.XDP, ebpf.AttachXDP, "", 1)
	large.Spec.Maps["hits"].ValueSize = 1 << 20
	lower()
	c, err := Load(large, &Options{})
	if err != nil {
		t.Fatalf("the limit is not raised: %v", err)
	}
	c.Close()

	lower()
	runtime.LockOSThread() // and never back: the thread ends with the goroutine
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	if err := unix.Capget(&header, &caps[0]); err != nil {
		t.Fatal(err)
	}
	caps[unix.CAP_SYS_RESOURCE/32].Effective &^= 1 << (unix.CAP_SYS_RESOURCE % 32)
	if err := unix.Capset(&header, &caps[0]); err != nil {
		t.Fatal(err)
	}
	defer func() {
		caps[unix.CAP_SYS_RESOURCE/32].Effective |= 1 << (unix.CAP_SYS_RESOURCE % 32)
		_ = unix.Capset(&header, &caps[0])
	}()
	_, err = Load(large, &Options{})
	if want := "of which this process may have 4 KiB"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want an error with %q", err, want)
	}
}

// differs is the object of testdata whose programs need what kernels do not have in
// common.
func differs(t *testing.T) *program.Program {
	t.Helper()
	p, err := program.Open("testdata/differs.bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Set("mine", strconv.Itoa(os.Getpid())); err != nil {
		t.Fatal(err)
	}
	return p
}

// hideTypes has the kernel not tell its types to this goroutine.
func hideTypes(t *testing.T) {
	t.Helper()
	if _, err := new(program.LinkOptions).Types(new(ebpf.CollectionSpec)); err != nil {
		t.Skip(err) // which reads them for all other tests
	}
	ownMounts(t)
	if err := unix.Mount("none", "/sys/kernel/btf", "tmpfs", 0, ""); err != nil {
		t.Skipf("the kernel's types cannot be hidden: %v", err)
	}
	known := runningTypes
	runningTypes = btf.NewCache()
	t.Cleanup(func() { runningTypes = known })
}

// What a program asks of the kernel and is not there is named, with what is near.
func TestMissing(t *testing.T) {
	testenv.Kernel(t)
	for name, want := range map[string]string{
		"missing_field":    "the target has no field task_struct.tgidd; did you mean tgid?",
		"missing_function": "program missing_function calls kernel function bpf_task_acquir, which this kernel does not have: declare it __weak and ask with bpf_ksym_exists() to do without",
		"missing_variable": "load of kernel variable no_such_variable, which this machine does not have: declare it __weak",
		"asked_field":      "",
		"asked_function":   "",
		"asked_variable":   "",
	} {
		c, err := Load(differs(t), &Options{Programs: []string{name}})
		switch {
		case err == nil:
			c.Close()
			if want != "" {
				t.Errorf("%s: the kernel takes it, want an error with %q", name, want)
			}
		case needsNewer(err) != "":
		case want == "" || !strings.Contains(err.Error(), want):
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

// Without the kernel's types nothing is relocated but by those of a file.
func TestNoTypes(t *testing.T) {
	testenv.Kernel(t)
	types, err := btf.LoadKernelSpec()
	if err != nil {
		t.Skip(err)
	}
	hideTypes(t)
	opts := Options{Programs: []string{"asked_field"}}
	_, err = Load(differs(t), &opts)
	want := "program asked_field finds fields by the kernel's types (CO-RE), and the running kernel does not tell them (/sys/kernel/btf/vmlinux, CONFIG_DEBUG_INFO_BTF): name a file that does, with --btf"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want an error with %q", err, want)
	}
	opts.Link.KernelTypes = types
	c, err := Load(differs(t), &opts)
	if err != nil {
		t.Fatalf("with types of a file: %v", err)
	}
	c.Close()
}
