package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/skep-ebpf/skep/hook"
	"github.com/skep-ebpf/skep/inspect"
	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/kernel"
	"github.com/skep-ebpf/skep/program"
	"github.com/skep-ebpf/skep/verifier/kernels"
)

const privilegesObject = "testdata/kernel/privileges.bpf.o"

// nobody is a user who owns nothing.
const nobody = 65534

// unprivileged is the command as a process of nobody's with some capabilities.
func unprivileged(path string, caps kernels.Caps, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Dir = filepath.Dir(path)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig:  syscall.SIGKILL,
		Credential: &syscall.Credential{Uid: nobody, Gid: nobody},
	}
	for ; caps != 0; caps &= caps - 1 {
		cmd.SysProcAttr.AmbientCaps = append(cmd.SysProcAttr.AmbientCaps, uintptr(bits.TrailingZeros64(uint64(caps))))
	}
	return cmd
}

// forNobody copies the command and an object to where anyone may read them.
func forNobody(t *testing.T, object string) (command, copied string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := exec.LookPath("skep")
	if err != nil {
		t.Fatal(err)
	}
	command, copied = filepath.Join(dir, "skep"), filepath.Join(dir, filepath.Base(object))
	for to, from := range map[string]string{command: self, copied: object} {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return command, copied
}

// Each kind of programs runs with the capabilities that the table has for it, and where one
// of these is missing, the message says which.
func TestCapabilities(t *testing.T) {
	newRoad(t)
	dir := ownCgroup(t)
	if err := unix.Mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, ""); err != nil {
		t.Logf("no tracepoints: %v", err)
	}
	command, object := forNobody(t, privilegesObject)
	p, err := program.Open(object)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		prog, at string
		want     kernels.Caps
	}{
		{"pass", "xdp/in", kernels.CapBPF | kernels.CapNetAdmin},
		{"tell", "xdp/in", kernels.CapBPF | kernels.CapNetAdmin | kernels.CapPerfmon}, // to read its perf events
		{"see", "tcx/ingress/in", kernels.CapBPF | kernels.CapNetAdmin},
		{"see", "clsact/ingress/in", kernels.CapBPF | kernels.CapNetAdmin},
		{"hear", "socket/in", kernels.CapBPF | kernels.CapNetRaw},
		{"allow", "cgroup/connect4/" + dir, kernels.CapBPF | kernels.CapNetAdmin},
		{"send", "cgroup_skb/egress/" + dir, kernels.CapBPF | kernels.CapNetAdmin},
		{"lookup", "sk_lookup", kernels.CapBPF},
		{"call", fmt.Sprintf("uprobe/%s:main.main,pid=%d", command, os.Getpid()), kernels.CapBPF | kernels.CapPerfmon | kernels.CapSysAdmin},
		{"call", fmt.Sprintf("uprobe.multi/%s:main.main,pid=%d", command, os.Getpid()), kernels.CapBPF | kernels.CapPerfmon | since(kernels.V(6, 6), kernels.CapSysAdmin)},
		{"poke", fmt.Sprintf("uprobe.multi/%s:main.main,pid=%d", command, os.Getpid()), kernels.CapBPF | kernels.CapPerfmon | kernels.CapSysAdmin},
		{"call", "kprobe/do_unlinkat", kernels.CapBPF | kernels.CapPerfmon},
		{"sample", fmt.Sprintf("perf_event/software/cpu-clock@99hz,pid=%d", os.Getpid()), kernels.CapBPF | kernels.CapPerfmon},
		{"start", "tracepoint/sched/sched_process_exec", kernels.CapBPF | kernels.CapPerfmon | kernels.CapDACReadSearch},
	} {
		point, err := hook.Parse(tc.at)
		if err != nil {
			t.Fatal(err)
		}
		spec, err := program.Subset(p.Spec, tc.prog)
		if err != nil {
			t.Fatal(err)
		}
		var table kernels.Caps
		for _, n := range kernel.Needs(spec, []hook.Attachment{{Program: tc.prog, Point: point}}) {
			table |= n.Caps
		}
		if table != tc.want {
			t.Errorf("%s: the table has %s, want %s", tc.at, table, tc.want)
		}
		args := []string{"run", object, "--prog", tc.prog, "--hook", tc.at, "--set", fmt.Sprintf("pid=%d", os.Getpid()), "--duration", "50ms"}
		if out, err := skep(args...).CombinedOutput(); err != nil {
			t.Logf("%s: the running kernel attaches nothing there: %s", tc.at, out)
			continue
		}
		out, err := unprivileged(command, table, args...).CombinedOutput()
		if bytes.Contains(out, []byte("kernel.perf_event_paranoid is 3 here, which leaves perf events to CAP_SYS_ADMIN: ")) {
			continue // as Debian has it
		}
		if err != nil {
			t.Errorf("%s: with %s: %v\n%s", tc.at, table, err, out)
		}
		for rest := table; rest != 0; rest &= rest - 1 {
			missing := rest & -rest
			if table.Without(table&^missing) != 0 { // no other stands for it
				checkRefused(t, unprivileged(command, table&^missing, args...), missing)
			}
		}
		checkRefused(t, unprivileged(command, 0, args...), table)
	}
}

// since gives capabilities that the running kernel asks for because it is older than a
// version.
func since(v kernels.Version, before kernels.Caps) kernels.Caps {
	if host, err := kernels.Host(); err == nil && host.Version() < v {
		return before
	}
	return 0
}

// checkRefused runs a command that fails because capabilities are missing.
func checkRefused(t *testing.T, cmd *exec.Cmd, missing kernels.Caps) {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	if err == nil {
		t.Errorf("%s without %s: no error", cmd.Args, missing)
		return
	}
	line, rest, _ := strings.Cut(stderr.String(), "\n")
	for _, name := range missing.Names() {
		if !strings.Contains(line, name) || !strings.Contains(line, "which this process does not have: run skep with sudo, or give it") || rest != "" {
			t.Errorf("%s without %s: %s", cmd.Args, missing, stderr.String())
		}
	}
}

// ownCgroup makes a cgroup of the test's own and gives its folder.
func ownCgroup(t *testing.T) string {
	t.Helper()
	root := "/sys/fs/cgroup"
	var st unix.Statfs_t
	if err := unix.Statfs(root, &st); err != nil || st.Type != unix.CGROUP2_SUPER_MAGIC {
		if err := unix.Mount("cgroup2", root, "cgroup2", 0, ""); err != nil {
			t.Skipf("no cgroups of version 2: %v", err)
		}
	}
	dir, err := os.MkdirTemp(root, "skep-test-")
	if err != nil {
		t.Skipf("no cgroup of the test's own: %v", err)
	}
	t.Cleanup(func() { _ = unix.Rmdir(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// When all is attached, no thread has more capabilities than detaching takes, and the
// programs are detached all the same.
func TestDropsCapabilities(t *testing.T) {
	newRoad(t)
	for _, tc := range []struct {
		prog, at string
		want     kernels.Caps
	}{
		{"pass", "xdp/lo", since(kernels.V(5, 19), kernels.CapBPF)},
		{"see", "clsact/ingress/lo", kernels.CapNetAdmin | since(kernels.V(5, 19), kernels.CapBPF)},
	} {
		var stderr bytes.Buffer
		cmd := skep("run", privilegesObject, "--prog", tc.prog, "--hook", tc.at)
		cmd.Stderr = &stderr
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		dropped := soon(func() bool { return capsOf(t, cmd.Process.Pid) == tc.want })
		left := capsOf(t, cmd.Process.Pid)
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		out, err := io.ReadAll(stdout)
		err = errors.Join(err, cmd.Wait())
		if strings.Contains(stderr.String(), "threads that cgo made") {
			t.Skip("this test is built with cgo: set CGO_ENABLED=0")
		}
		if !dropped {
			t.Errorf("%s: %s are left, want %s", tc.at, left, tc.want)
		}
		if err != nil || !bytes.Contains(out, []byte("map hits: array, 1 entry")) {
			t.Errorf("%s: ended with %v\n%s%s", tc.at, err, out, &stderr)
		}
	}
}

// capsOf are the capabilities that some thread of a process has or may have.
func capsOf(t *testing.T, pid int) (caps kernels.Caps) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(files) == 0 {
		t.Fatalf("process %d has no threads (%v)", pid, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // the thread has ended
		}
		for _, name := range []string{"CapInh", "CapPrm", "CapEff", "CapAmb"} {
			_, rest, _ := strings.Cut(string(text), name+":")
			var set uint64
			if _, err := fmt.Sscanf(rest, "%x", &set); err != nil {
				t.Fatalf("%s: no %s: %v", file, name, err)
			}
			caps |= kernels.Caps(set)
		}
	}
	return caps
}

// What skep inspect says that an example needs is what Linux asks for.
func TestInspectedCapabilities(t *testing.T) {
	testenv.KernelFrom(t, 6, 6, "older verifiers refuse more of loaders without CAP_PERFMON")
	newRoad(t)
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	mitigationsOff := bytes.Contains(cmdline, []byte("mitigations=off"))
	for _, tc := range []struct{ object, prog, at string }{
		{"firewall/firewall", "firewall", "xdp/in"},
		{"flows/flows", "flows", "clsact/ingress/in"}, // computes with addresses
		{"redirect/redirect", "redirect", "xdp/in"},
		{"redirect/redirect", "count", "clsact/ingress/in"},
		{"tailparse/tailparse", "parse_tcp", "xdp/in"},
		{"world/forward", "forward", "xdp/in"},
		{"world/owner", "owner", "clsact/ingress/in"},
		{"protocount/protocount", "protocount", "socket/in"},
	} {
		command, object := forNobody(t, filepath.Join(testenv.Root(t), "examples", tc.object+".bpf.o"))
		p, err := program.Open(object)
		if err != nil {
			t.Fatal(err)
		}
		all, err := inspect.Inspect(p.Spec, []string{tc.prog}, &program.LinkOptions{})
		if err != nil {
			t.Fatal(err)
		}
		need := all[0].Caps
		args := []string{"run", object, "--prog", tc.prog, "--hook", tc.at, "--on", "kernel", "--duration", "20ms"}
		if out, err := skep(args...).CombinedOutput(); err != nil {
			t.Logf("%s: the running kernel does not take it: %s", tc.object, out)
			continue
		}
		if out, err := unprivileged(command, need, args...).CombinedOutput(); err != nil {
			t.Errorf("%s: %s with %s: %v\n%s", tc.object, tc.prog, need, err, out)
		}
		if mitigationsOff {
			need &^= kernels.CapPerfmon // nothing is guarded against speculation, for nobody
		}
		for rest := need; rest != 0; rest &= rest - 1 {
			if out, err := unprivileged(command, need&^(rest&-rest), args...).CombinedOutput(); err == nil {
				t.Errorf("%s: %s runs without %s\n%s", tc.object, tc.prog, rest&-rest, out)
			}
		}
	}
}

// What stays attached belongs to who attached it, who needs no privilege any more to see and
// stop it; others may not.
func TestPinsOfNobody(t *testing.T) {
	testenv.KernelFrom(t, 6, 6, "it brought tcx")
	newRoad(t)
	command, object := forNobody(t, filepath.Join(testenv.Root(t), "examples", "redirect", "redirect.bpf.o"))
	do := func(caps kernels.Caps, args ...string) string {
		t.Helper()
		out, err := unprivileged(command, caps, args...).CombinedOutput()
		if err != nil {
			t.Errorf("skep %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	pin := []string{"run", object, "--prog", "count", "--hook", "tcx/ingress/in", "--pin", "own"}
	checkRefused(t, unprivileged(command, kernels.CapBPF, pin...), kernels.CapNetAdmin)
	do(kernels.CapBPF|kernels.CapNetAdmin|kernels.CapPerfmon, pin...)
	if out := do(0, "ps"); !strings.Contains(out, "tcx/ingress/in") {
		t.Errorf("ps: %s", out)
	}
	out := do(0, "map", "dump", "own/passed")
	if want := "without types, which Linux tells those who have CAP_SYS_ADMIN"; !strings.Contains(out, want) {
		t.Errorf("dump: %s\nwant: %s", out, want)
	}
	do(0, "map", "ls")
	do(0, "stop", "own")
	if err := os.Remove(filepath.Join(kernel.BPFFS, "skep")); err != nil {
		t.Fatal(err)
	}

	mustSkep(t, "run", object, "--prog", "count", "--hook", "tcx/ingress/in", "--pin", "others")
	for _, verb := range [][]string{
		{"ps"}, {"stop", "others"}, {"run", object, "--replace", "others"}, {"map", "ls"}, {"map", "dump", "others/passed"},
		{"map", "watch", "others/passed"}, {"map", "set", "others/passed", "key=0", "value=0"}, {"map", "delete", "others/passed", "key=0"},
	} {
		out, err := unprivileged(command, 0, verb...).CombinedOutput()
		if want := "what stays attached belongs to another user (/sys/fs/bpf/skep): run skep as that one, with sudo -u root"; err == nil || !strings.Contains(string(out), want) {
			t.Errorf("skep %s: %v: %s\nwant: %s", strings.Join(verb, " "), err, out, want)
		}
	}
	mustSkep(t, "stop", "others")
}

// Features say what these privileges allow, and what is missing for what.
func TestFeaturesOfNobody(t *testing.T) {
	testenv.Kernel(t)
	if os.Geteuid() != 0 {
		t.Skip("to be nobody takes root")
	}
	command, _ := forNobody(t, privilegesObject)
	const networks, tracing = `network programs +(\w+) .*XDP, tc, cgroups, sockets`, `tracing programs +(\w+) .*kprobes, uprobes`
	for _, tc := range []struct {
		caps kernels.Caps
		want []string
	}{
		{0, []string{networks + ": it takes CAP_BPF and CAP_NET_ADMIN", tracing + ".*: it takes CAP_BPF and CAP_PERFMON", "program types +no +not known"}},
		{kernels.CapBPF | kernels.CapNetAdmin, []string{"capabilities +yes +CAP_BPF CAP_NET_ADMIN; without CAP_PERFMON CAP_SYS_ADMIN",
			"this process may load them: XDP, tc", tracing + ".*: it takes CAP_PERFMON"}},
		{kernels.CapBPF | kernels.CapPerfmon, []string{networks + ": it takes CAP_NET_ADMIN", "this process may load them: kprobes"}},
	} {
		out, err := unprivileged(command, tc.caps, "features").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, want := range tc.want {
			if !regexp.MustCompile("(?m)^ +.*" + want).Match(out) {
				t.Errorf("with %s: no %s in\n%s", tc.caps, want, out)
			}
		}
	}
}
