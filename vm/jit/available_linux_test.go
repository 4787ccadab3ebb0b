//go:build amd64 || arm64

package jit

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestUnavailable forbids this test's own copy to make memory executable.
func TestUnavailable(t *testing.T) {
	const forbidden = "SKEP_TEST_NO_EXECUTABLE_MEMORY"
	if os.Getenv(forbidden) == "" {
		again := exec.Command(os.Args[0], "-test.run=^TestUnavailable$", "-test.v")
		again.Env = append(os.Environ(), forbidden+"=1")
		out, err := again.CombinedOutput()
		if errors.Is(err, unix.ENOEXEC) {
			t.Skipf("the test cannot run itself again, as it is emulated: %v", err)
		}
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		if strings.Contains(string(out), "--- SKIP") {
			t.Skipf("this kernel cannot forbid it (PR_SET_MDWE, Linux 6.3)")
		}
		return
	}
	if err := unix.Prctl(unix.PR_SET_MDWE, unix.PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0); err != nil {
		t.Skip(err)
	}
	err := Available()
	if err == nil {
		t.Fatal("the probe makes memory executable all the same")
	}
	if got := err.Error(); !strings.Contains(got, "PR_SET_MDWE") || !strings.Contains(got, "interpreted") {
		t.Errorf("what it says is %q", got)
	}
	if _, err := Compile(handProgramInterpreted(t), Options{}); err == nil {
		t.Error("a program is compiled all the same")
	}
}
