package cli

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/skep-ebpf/skep/internal/testenv"
	"github.com/skep-ebpf/skep/verifier/kernels"
)

// Who may not use the kernel has programs run in skep's own machine, where that can have
// them run, and is told so in one line.
func TestAutoWithoutPrivileges(t *testing.T) {
	testenv.Kernel(t)
	if os.Geteuid() != 0 {
		t.Skip("to be nobody takes root")
	}
	command, object := forNobody(t, "testdata/kernel/ticks.bpf.o")
	for _, tc := range []struct {
		caps  kernels.Caps
		where string
	}{
		{0, "skep: tick runs in skep's own machine, as the kernel wants CAP_BPF and CAP_PERFMON, at timer/1ms\n"},
		{kernels.CapBPF, "skep: tick runs in skep's own machine, as the kernel wants CAP_PERFMON, at timer/1ms\n"},
		{kernels.CapBPF | kernels.CapPerfmon, "skep: tick runs in the kernel, at timer/1ms\n"},
	} {
		printed, said := untilPrinted(t, unprivileged(command, tc.caps, "run", object))
		if !strings.HasPrefix(said, tc.where) || !strings.HasSuffix(printed, ": the first of many") {
			t.Errorf("with %s it said %q and printed %q, want %q", tc.caps, said, printed, tc.where)
		}
	}

	command, packets := forNobody(t, privilegesObject)
	for want, args := range map[string][]string{
		"no packets come by at xdp/lo in skep's own machine: give some with --pcap": {"run", packets, "--prog", "pass", "--hook", "xdp:lo"},
		"program pass (XDP) needs CAP_BPF and CAP_NET_ADMIN, which this process":    {"run", packets, "--prog", "pass", "--hook", "xdp:lo", "--on", "kernel"},
	} {
		out, err := unprivileged(command, 0, args...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) || strings.Contains(string(out), " runs in ") {
			t.Errorf("skep %s: %v\n%s\nwant: %s", strings.Join(args, " "), err, out, want)
		}
	}
}

// untilPrinted runs skep until it prints a line, ends it, and gives that line and what it
// said of itself.
func untilPrinted(t *testing.T, cmd *exec.Cmd) (printed, said string) {
	t.Helper()
	var errs strings.Builder
	cmd.Stderr = &errs
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	lines.Scan()
	printed = lines.Text()
	_ = cmd.Process.Signal(syscall.SIGINT) // gone where there is no line
	for lines.Scan() {
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("skep ended with %v", err)
	}
	return printed, errs.String()
}
