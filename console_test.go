package skep_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the outputs of the commands in README.md and docs into them")

// TestConsole runs every command that README.md and docs show in a console
// block, from the project's root, and compares what it prints with what is shown
// there; "…" stands for anything.
func TestConsole(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the commands are for a POSIX shell")
	}
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", bin, "./cmd/skep").CombinedOutput(); err != nil {
		t.Fatalf("build skep: %v\n%s", err, out)
	}
	files, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, "README.md") {
		t.Run(file, func(t *testing.T) { checkFile(t, file, bin) })
	}
}

// block is a console block: its fences are on lines of their own.
var block = regexp.MustCompile("(?ms)^```console\n(.*?)^```$")

func checkFile(t *testing.T, file, bin string) {
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	after := block.ReplaceAllStringFunc(string(before), func(b string) string {
		body := block.FindStringSubmatch(b)[1]
		return "```console\n" + checkBlock(t, body, bin) + "```"
	})
	if *update && after != string(before) {
		if err := os.WriteFile(file, []byte(after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// checkBlock runs the commands of a block, which are the lines that begin with
// "$ ", and gives the block with their outputs.
func checkBlock(t *testing.T, body, bin string) string {
	var out strings.Builder
	for _, part := range strings.Split("\n"+body, "\n$ ")[1:] {
		command, want, _ := strings.Cut(part, "\n")
		want = strings.TrimSuffix(want, "\n")
		got := run(command, bin)
		if !matches(want, got) {
			if !*update {
				t.Errorf("$ %s\n(-shown +real)\n%s", command, cmp.Diff(want, got))
			}
			want = got
		}
		out.WriteString("$ " + command + "\n")
		if want != "" {
			out.WriteString(want + "\n")
		}
	}
	return out.String()
}

// run gives what a command prints, standard error included.
func run(command, bin string) string {
	cmd := exec.Command("sh", "-c", command)
	cmd.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	out, _ := cmd.CombinedOutput() // what is shown includes failures
	return strings.TrimSuffix(string(out), "\n")
}

// matches compares, with "…" in want standing for anything.
func matches(want, got string) bool {
	parts := strings.Split(want, "…")
	for i, p := range parts {
		parts[i] = regexp.QuoteMeta(p)
	}
	return regexp.MustCompile(`\A(?s)` + strings.Join(parts, ".*?") + `\z`).MatchString(got)
}
