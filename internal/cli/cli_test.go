package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/skep-ebpf/skep/internal/testenv"
)

// commands are what tests execute.
var commands = map[string]func(){
	"skep": func() { os.Exit(Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
}

func TestMain(m *testing.M) { testscript.Main(m, commands) }

// The scripts in testdata run the command as a user does, on the bundled
// examples ($EXAMPLES).
func TestScripts(t *testing.T) {
	examples := filepath.Join(testenv.Root(t), "examples")
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("EXAMPLES", examples)
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "types" {
				return false, fmt.Errorf("unknown condition %s", name)
			}
			_, err := os.Stat(hostTypes)
			return err == nil, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"jsonlines": jsonLines,
			"sentence":  sentence,
			"truncate":  truncate,
		},
	})
}

// jsonLines checks that a file is JSON objects, a line each, with a type.
func jsonLines(ts *testscript.TestScript, _ bool, args []string) {
	for i, line := range strings.Split(strings.TrimSuffix(ts.ReadFile(args[0]), "\n"), "\n") {
		var object struct{ Type string }
		if err := json.Unmarshal([]byte(line), &object); err != nil || object.Type == "" {
			ts.Fatalf("line %d is no typed JSON object: %v: %.80s", i+1, err, line)
		}
	}
}

// sentence checks that standard error is one line from skep, or one and the
// hint for wrong usage, behind the one that says where programs run.
func sentence(ts *testscript.TestScript, _ bool, args []string) {
	lines := strings.Split(strings.TrimSuffix(ts.ReadFile("stderr"), "\n"), "\n")
	if len(lines) > 1 && strings.Contains(lines[0], " in skep's own machine: ") {
		lines = lines[1:]
	}
	if !strings.HasPrefix(lines[0], "skep: ") || len(lines) > 2 || len(lines) == 2 && !strings.HasPrefix(lines[1], "Run 'skep") {
		ts.Fatalf("standard error is not one sentence:\n%s", strings.Join(lines, "\n"))
	}
}

// truncate copies the first n bytes of a file: truncate FROM TO N.
func truncate(ts *testscript.TestScript, _ bool, args []string) {
	b, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	var n int
	ts.Check(json.Unmarshal([]byte(args[2]), &n))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b[:min(n, len(b))], 0o644))
}

func TestExitCodes(t *testing.T) {
	object := filepath.Join(testenv.Root(t), "examples", "firewall", "firewall.bpf.o")
	for _, tt := range []struct {
		args string
		want int
	}{
		{"", exitOK},
		{"--help", exitOK},
		{"run OBJECT --data ffffffffffff02000000000108060001", exitOK},
		{"fly", exitUsage},
		{"run", exitUsage},
		{"run OBJECT", exitUsage},
		{"run OBJECT --nonsense", exitUsage},
		{"run OBJECT --data 00 --set nonsense", exitUsage},
		{"run OBJECT --repeat 0 --data 00", exitUsage},
		{"run OBJECT --data 00 --set nonsense=1", exitFailure},
		{"run OBJECT --data 00", exitFailure},
		{"run OBJECT --pcap OBJECT", exitFailure},
		{"dump nowhere.o", exitFailure},
	} {
		var stdout, stderr strings.Builder
		args := strings.Fields(strings.ReplaceAll(tt.args, "OBJECT", object))
		if got := Main(args, strings.NewReader(""), &stdout, &stderr); got != tt.want {
			t.Errorf("skep %s: exit code %d, want %d\n%s", tt.args, got, tt.want, stderr.String())
		}
	}
}

// Each verb's help says which privileges it takes.
func TestHelpTellsPrivileges(t *testing.T) {
	left := make(map[string]bool)
	for path := range privileges {
		left[path] = true
	}
	var look func(cmd *cobra.Command)
	look = func(cmd *cobra.Command) {
		delete(left, cmd.CommandPath())
		if cmd.HasParent() && !strings.Contains(cmd.Long, "\n\nNeeds: ") {
			t.Errorf("the help of %s does not say what it needs", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			look(sub)
		}
	}
	look(newRoot())
	for path := range left {
		t.Errorf("there is no verb %s", path)
	}
}
