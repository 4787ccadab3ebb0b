package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/skep-ebpf/skep/internal/testenv"
)

// The scripts in testdata/kernel attach programs, each to a network of its own and with a
// bpffs of its own: unshare makes them for a script of the shell.
func TestKernelScripts(t *testing.T) {
	testenv.Kernel(t)
	if os.Geteuid() != 0 {
		t.Skip("namespaces need root")
	}
	for _, name := range []string{"unshare", "ip", "sh"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("the scripts use %s, which is not here", name)
		}
	}
	examples := filepath.Join(testenv.Root(t), "examples")
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "kernel"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("EXAMPLES", examples)
			env.Setenv("DIFFERS", filepath.Join(testenv.Root(t), "kernel", "testdata", "differs.bpf.o"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"jsonlines": jsonLines, "truncate": truncate},
	})
}
