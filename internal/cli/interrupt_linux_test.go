package cli

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/skep-ebpf/skep/internal/testenv"
)

// A signal ends skep also while Linux's verifier is at work, which cilium/ebpf has begin
// again when a signal has ended it.
func TestEndedWhileVerified(t *testing.T) {
	testenv.Kernel(t)
	cmd := skep("run", "testdata/kernel/long.bpf.o", "--on", "kernel", "--data", strings.Repeat("00", 64))
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // it takes many
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(said.String(), "skep: loading ended early: interrupt signal received") {
		t.Errorf("it ended with %v\n%s", err, said.String())
	}
}
